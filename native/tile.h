// A tile of a product, held in registers: ROWS x (PANELS * VECTORS vectors) sums of a[r][k] * b[k][n].
// Every sum is the same chains over k, whatever the tile's size: a row's result does not depend on its neighbours.
#pragma once

#include "simd.h"

#if defined(__clang__)
#define RECURRA_UNROLL _Pragma("unroll")
#else
#define RECURRA_UNROLL _Pragma("GCC unroll 32")
#endif

namespace recurra {
namespace {

constexpr int tile_rows = RECURRA_TILE_ROWS;
constexpr int tile_vectors = RECURRA_TILE_VECTORS;

#if RECURRA_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int vector_registers = 32;
#else
constexpr int vector_registers = 16;
#endif
// Products summed apart before they join the rest, so that rounding grows with this and not with the whole depth. A
// longer chain than this errs more than twice what torch does.
constexpr int chain = 384;
// How far ahead a panel is fetched. Measured on Zen 5: 2 to 5 KB are alike, and worth 5 to 20 % of a product whose
// panels come from L3; nothing is lost where they lie in L2.
constexpr int panel_ahead_bytes = 3072;

// Keeps v in a register: the compiler else folds its load into every instruction that uses it, and the loads, two per
// cycle, become the limit.
template <class V>
inline void keep_in_register(V& v) {
#if defined(__x86_64__)
    __asm__("" : "+v"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#else
    (void)v;
#endif
}

// Columns of a panel.
template <class T>
constexpr int PANEL = RECURRA_TILE_VECTORS * LANES<T>;

// Rows of A for one run of k; row r begins at a + r * stride.
template <class T>
struct Part {
    const T* a;
    std::ptrdiff_t stride;  // Layout::turned: from one k to the next
    int depth;
};

// What a tile reads and writes. The parts' runs of k follow each other in b without a gap.
template <class T>
struct Tile {
    const Part<T>* parts;
    int count;
    std::ptrdiff_t first_row;  // of A, C and start
    const T* b;                // b[k * b_step + p * panel_step + column within panel p]
    std::ptrdiff_t b_step;     // where it is not PANEL
    std::ptrdiff_t panel_step;
    T* c;  // at the tile's first column, row 0
    std::ptrdiff_t c_stride;
    const T* start;  // null for zeros
    std::ptrdiff_t start_stride;
    int columns;  // of the last panel, those that exist
};

// How the numbers of A and B lie.
enum class Layout {
    packed,  // A rows of k, B panels [k][PANEL]
    lying,   // A rows of k, B rows of n, b_step apart; nothing is read beyond the last column
    turned,  // A rows of m, one for each k, B panels [k][PANEL]
};

template <class T, int ROWS, int COUNT>
struct Sums {
    vec<T> at[ROWS][COUNT];
};

// One step of k: sums[r][p * VECTORS + v] += a[r] * b[p][v].
template <class T, Layout LAYOUT, int ROWS, int PANELS, int VECTORS>
inline __attribute__((always_inline)) void add_products(Sums<T, ROWS, PANELS * VECTORS>& sums, const T* a,
                                                        std::ptrdiff_t a_row, const T* b, std::ptrdiff_t panel_step,
                                                        int last_lanes) {
    constexpr int COLUMNS = PANELS * VECTORS;
    vec<T> column[COLUMNS];
    RECURRA_UNROLL
    for (int v = 0; v < COLUMNS; ++v) {
        const T* from = b + v / VECTORS * panel_step + v % VECTORS * LANES<T>;
        const bool partial = LAYOUT == Layout::lying && v == COLUMNS - 1 && last_lanes < LANES<T>;
        column[v] = partial ? load_partial(from, last_lanes) : load(from);
        if (ROWS > 1 && (ROWS + 1) * COLUMNS < vector_registers) keep_in_register(column[v]);
    }
    RECURRA_UNROLL
    for (int r = 0; r < ROWS; ++r) {
        const vec<T> x = broadcast<T>(a[r * a_row]);
        RECURRA_UNROLL
        for (int v = 0; v < COLUMNS; ++v) sums.at[r][v] += x * column[v];
    }
}

// Where vector v of a row of the tile begins.
template <class T, int VECTORS>
constexpr int column_of(int v) {
    return v / VECTORS * PANEL<T> + v % VECTORS * LANES<T>;
}

// C = start + sums; ADD: there is a start; WHOLE: all columns of the last panel exist.
template <class T, int ROWS, int PANELS, int VECTORS, bool ADD, bool WHOLE>
inline __attribute__((always_inline)) void store_rows(const Tile<T>& t, const Sums<T, ROWS, PANELS * VECTORS>& sums) {
    constexpr int LAST = PANELS * VECTORS - 1;
    const int last_lanes = t.columns - (VECTORS - 1) * LANES<T>;
    const std::ptrdiff_t c_stride = t.c_stride, start_stride = t.start_stride;
    T* c = t.c + t.first_row * c_stride;
    const T* start = ADD ? t.start + t.first_row * start_stride : nullptr;
    RECURRA_UNROLL
    for (int r = 0; r < ROWS; ++r, c += c_stride, start += ADD ? start_stride : 0) {
        RECURRA_UNROLL
        for (int v = 0; v < LAST + WHOLE; ++v) {
            constexpr auto column = column_of<T, VECTORS>;
            store<T>(c + column(v), ADD ? sums.at[r][v] + load(start + column(v)) : sums.at[r][v]);
        }
        if (WHOLE) continue;
        constexpr int column = column_of<T, VECTORS>(LAST);
        const vec<T> sum = sums.at[r][LAST];
        store_partial(c + column, ADD ? sum + load_partial(start + column, last_lanes) : sum, last_lanes);
    }
}

template <class T, int ROWS, int PANELS, int VECTORS>
inline __attribute__((always_inline)) void store_tile(const Tile<T>& t, const Sums<T, ROWS, PANELS * VECTORS>& sums) {
    const bool whole = t.columns >= VECTORS * LANES<T>;
    if (t.start)
        whole ? store_rows<T, ROWS, PANELS, VECTORS, true, true>(t, sums)
              : store_rows<T, ROWS, PANELS, VECTORS, true, false>(t, sums);
    else
        whole ? store_rows<T, ROWS, PANELS, VECTORS, false, true>(t, sums)
              : store_rows<T, ROWS, PANELS, VECTORS, false, false>(t, sums);
}

// Starts fetching the lines of a row of C and of its start: they are wanted when the sums are done, and loads that miss
// then would stop everything.
template <class T, int PANELS, int VECTORS>
inline __attribute__((always_inline)) void fetch_row(const Tile<T>& t, int r) {
    constexpr int COLUMNS = ((PANELS - 1) * tile_vectors + VECTORS) * LANES<T>, STEP = line_bytes / sizeof(T);
    const T* c = t.c + (t.first_row + r) * t.c_stride;
    RECURRA_UNROLL
    for (int n = 0; n < COLUMNS; n += STEP) __builtin_prefetch(c + n, 1);
    if (!t.start || t.start == t.c || !t.start_stride) return;
    const T* start = t.start + (t.first_row + r) * t.start_stride;
    RECURRA_UNROLL
    for (int n = 0; n < COLUMNS; n += STEP) __builtin_prefetch(start + n);
}

// Steps of k between the fetching of one row and the next: all at once they would keep the panel's lines waiting.
constexpr int row_pace = 16;

template <class T, Layout LAYOUT, int ROWS, int PANELS, int VECTORS>
void compute_tile(const Tile<T>& t) {
    Sums<T, ROWS, PANELS * VECTORS> sums = {};
    const int last_lanes = t.columns - (VECTORS - 1) * LANES<T>;
    const std::ptrdiff_t b_step = LAYOUT == Layout::lying ? t.b_step : PANEL<T>;
    const T* b = t.b;
    Tile<T> to = t;
    int left = chain, fetched = 0;
    for (int part = 0; part < t.count; ++part) {
        const std::ptrdiff_t stride = t.parts[part].stride;
        const std::ptrdiff_t a_row = LAYOUT == Layout::turned ? 1 : stride;
        const std::ptrdiff_t a_step = LAYOUT == Layout::turned ? stride : 1;
        const T* a = t.parts[part].a + t.first_row * a_row;
        for (int depth = t.parts[part].depth; depth > 0;) {
            if (left == 0) {
                store_tile<T, ROWS, PANELS, VECTORS>(to, sums);
                sums = {};
                to.start = to.c;
                to.start_stride = to.c_stride;
                left = chain;
            }
            int run = depth < left ? depth : left;
            if (fetched < ROWS) {
                fetch_row<T, PANELS, VECTORS>(t, fetched++);
                run = run < row_pace ? run : row_pace;
            }
            depth -= run;
            left -= run;
            for (int k = run; k > 0; --k) {
                add_products<T, LAYOUT, ROWS, PANELS, VECTORS>(sums, a, a_row, b, t.panel_step, last_lanes);
                if (LAYOUT != Layout::lying) {
                    RECURRA_UNROLL
                    for (int n = 0; n < VECTORS * LANES<T> * static_cast<int>(sizeof(T)); n += line_bytes)
                        __builtin_prefetch(reinterpret_cast<const char*>(b) + panel_ahead_bytes + n);
                }
                a += a_step;
                b += b_step;
            }
        }
    }
    store_tile<T, ROWS, PANELS, VECTORS>(to, sums);
}

// Panels side by side in one tile: with few rows one panel's sums are too few to hide the latency of an addition.
constexpr int panels_at_once(int rows) { return tile_rows / rows >= 4 ? 4 : tile_rows / rows >= 2 ? 2 : 1; }

// Tiles of `rows` rows and one panel of `vectors` vectors.
template <class T, Layout LAYOUT, int ROWS = tile_rows, int VECTORS = tile_vectors>
inline void compute_panel(const Tile<T>& t, int rows, int vectors) {
    if constexpr (ROWS > 1) {
        if (rows < ROWS) return compute_panel<T, LAYOUT, ROWS - 1, VECTORS>(t, rows, vectors);
    }
    if constexpr (VECTORS > 1) {
        if (vectors < VECTORS) return compute_panel<T, LAYOUT, ROWS, VECTORS - 1>(t, rows, vectors);
    }
    compute_tile<T, LAYOUT, ROWS, 1, VECTORS>(t);
}

// Tiles of `rows` rows and panels_at_once(rows) whole panels.
template <class T, Layout LAYOUT, int ROWS = tile_rows>
inline void compute_panels(const Tile<T>& t, int rows) {
    if constexpr (ROWS > 1) {
        if (rows < ROWS) return compute_panels<T, LAYOUT, ROWS - 1>(t, rows);
    }
    compute_tile<T, LAYOUT, ROWS, panels_at_once(ROWS), tile_vectors>(t);
}

// [0, rows) cut into tiles as equal in height as can be: 10 rows are 5 + 5.
struct Rows {
    explicit Rows(int rows) : count(rows), tiles((rows + tile_rows - 1) / tile_rows) {}
    int begin(int tile) const { return static_cast<int>(static_cast<std::int64_t>(count) * tile / tiles); }
    int count, tiles;
};

}  // namespace
}  // namespace recurra
