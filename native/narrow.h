// Products with matrices rounded to bf16, or to int8 with a scale for each column: half and a quarter of the memory to
// read. Only for float.
#pragma once

#include "memory.h"
#include "step.h"
#include "tile.h"

namespace recurra {
namespace {

// Columns of a panel: eight vectors of sums, or four where there are half as many registers.
constexpr int narrow_vectors = vector_registers == 32 ? 8 : 4;
constexpr int narrow_columns = narrow_vectors * LANES<float>;
constexpr int narrow_rows = vector_registers == 32 ? 3 : 2;  // rows of a tile: their sums fit the registers
constexpr int narrow_ahead_bytes = 2048;                     // of the panel, fetched ahead of its use

typedef std::uint32_t vector_words __attribute__((vector_size(RECURRA_VECTOR_BYTES), may_alias));

inline int narrow_panels(int columns) { return (columns + narrow_columns - 1) / narrow_columns; }

// Bytes of a panel's row of columns.
constexpr int narrow_row_bytes(Narrow kind) { return kind == Narrow::bf16 ? narrow_columns * 2 : narrow_columns; }

inline std::size_t narrow_bytes_of(const Stage& product, Narrow kind) {
    return static_cast<std::size_t>(product.depth) * narrow_panels(product.columns) * narrow_row_bytes(kind);
}

// The nearest bf16, of two equally near the even one; NaN stays NaN.
inline std::uint16_t bf16_of(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    if (x != x) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
    return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Where column c of a panel's row lies: a word holds `together` columns, LANES apart, so that shifts widen them.
inline int narrow_place(int c, int together) {
    const int group = together * LANES<float>;
    return c / group * group + c % LANES<float> * together + c % group / LANES<float>;
}

// One column of a product, `depth` numbers, brought into its panel.
inline void narrow_column(const NarrowProduct& to, const float* column, int depth, int n) {
    const std::size_t row = narrow_row_bytes(to.kind);
    char* panel = static_cast<char*>(to.panels) + n / narrow_columns * row * depth;
    const int c = n % narrow_columns;
    if (to.kind == Narrow::bf16) {
        for (int k = 0; k < depth; ++k)
            reinterpret_cast<std::uint16_t*>(panel + k * row)[narrow_place(c, 2)] = bf16_of(column[k]);
        return;
    }
    float most = 0;
    for (int k = 0; k < depth; ++k) {
        const float size = __builtin_fabsf(column[k]);
        if (size > most || size != size) most = size;  // once it is NaN it stays so
    }
    const bool finite = most <= 3e38f;
    to.scales[n] = finite ? most / 127 : most - most;  // what is not finite makes the column NaN, as it would unrounded
    const float inverse = finite && most > 0 ? 127 / most : 0;
    for (int k = 0; k < depth; ++k)
        reinterpret_cast<std::int8_t*>(panel + k * row)[narrow_place(c, 4)] =
            static_cast<std::int8_t>(__builtin_rintf(finite ? column[k] * inverse : 0));
}

// Makes the copy; columns beyond the last are zeros.
inline void narrow_product(const Stage& product, void* const* buffers, const NarrowProduct& to) {
    std::memset(to.panels, 0, narrow_bytes_of(product, to.kind));
    float* column = static_cast<float*>(scratch(Scratch::rows, sizeof(float) * (product.depth + 1)));
    int n = 0;
    for (int j = 0; j < product.matrix_rows; ++j) {
        const Matrix* m = product.matrices + j * product.operand_count;
        for (int c = 0; c < m->columns; ++c, ++n) {
            int k = 0;
            for (int p = 0; p < product.operand_count; ++p) {
                const float* w = static_cast<const float*>(buffers[m[p].buffer]) + m[p].offset + c * m[p].n_stride;
                for (int d = 0; d < m[p].depth; ++d, ++k) column[k] = w[d * m[p].k_stride];
            }
            narrow_column(to, column, product.depth, n);
        }
    }
}

// One row of a panel, widened.
template <Narrow KIND>
inline __attribute__((always_inline)) void widen(vec<float> (&column)[narrow_vectors], const char* b) {
    RECURRA_UNROLL
    for (int v = 0; v < narrow_vectors; ++v) {
        constexpr int together = KIND == Narrow::bf16 ? 2 : 4;
        vector_words word;
        std::memcpy(&word, b + v / together * RECURRA_VECTOR_BYTES, sizeof word);
        if (KIND == Narrow::bf16)
            column[v] = (vec<float>)(v % 2 ? word & 0xffff0000u : word << 16);
        else
            column[v] = __builtin_convertvector((ints<float>)(word << (24 - 8 * (v % 4))) >> 24, vec<float>);
    }
}

// What the tiles of a narrow product share.
struct NarrowTiles {
    const Part<float>* parts;
    int count, depth, columns;
    const NarrowProduct* b;
    float* c;
    std::ptrdiff_t c_stride;
    const float* start;  // null for zeros
    std::ptrdiff_t start_stride;
};

template <Narrow KIND, int ROWS>
inline __attribute__((always_inline)) void store_narrow(const NarrowTiles& t, int m, int panel,
                                                        const vec<float> (&sums)[ROWS][narrow_vectors]) {
    for (int r = 0; r < ROWS; ++r) {
        RECURRA_UNROLL
        for (int v = 0; v < narrow_vectors; ++v) {
            const int n = panel * narrow_columns + v * LANES<float>, left = t.columns - n;
            if (left <= 0) break;
            vec<float> sum = sums[r][v];
            float* c = t.c + (m + r) * t.c_stride + n;
            const float* start = t.start ? t.start + (m + r) * t.start_stride + n : nullptr;
            const bool whole = left >= LANES<float>;
            if (KIND == Narrow::int8) sum *= whole ? load(t.b->scales + n) : load_partial(t.b->scales + n, left);
            if (start) sum += whole ? load(start) : load_partial(start, left);
            whole ? store<float>(c, sum) : store_partial(c, sum, left);
        }
    }
}

// Rows [m, m + ROWS) x the columns of a panel. Each sum is one chain over k: a row's result does not depend on others.
template <Narrow KIND, int ROWS>
void narrow_tile(const NarrowTiles& t, int m, int panel) {
    constexpr int row = narrow_row_bytes(KIND);
    const char* b = static_cast<const char*>(t.b->panels) + static_cast<std::ptrdiff_t>(panel) * row * t.depth;
    vec<float> sums[ROWS][narrow_vectors] = {};
    for (int p = 0; p < t.count; ++p) {
        const Part<float>& part = t.parts[p];
        const float* a = part.a + m * part.stride;
        for (int k = 0; k < part.depth; ++k, b += row) {
            vec<float> column[narrow_vectors];
            widen<KIND>(column, b);
            RECURRA_UNROLL
            for (int n = 0; n < row; n += line_bytes) __builtin_prefetch(b + narrow_ahead_bytes + n);
            RECURRA_UNROLL
            for (int r = 0; r < ROWS; ++r) {
                const vec<float> x = broadcast<float>(a[r * part.stride + k]);
                RECURRA_UNROLL
                for (int v = 0; v < narrow_vectors; ++v) sums[r][v] += x * column[v];
            }
        }
    }
    store_narrow<KIND, ROWS>(t, m, panel, sums);
}

template <Narrow KIND, int ROWS>
inline void narrow_some(const NarrowTiles& t, int m, int rows, int panel) {
    if constexpr (ROWS > 1) {
        if (rows < ROWS) return narrow_some<KIND, ROWS - 1>(t, m, rows, panel);
    }
    narrow_tile<KIND, ROWS>(t, m, panel);
}

// All rows x the columns of panels [first, last).
inline void multiply_narrow(const NarrowTiles& t, int rows, int first, int last) {
    for (int panel = first; panel < last; ++panel)
        for (int m = 0; m < rows; m += narrow_rows) {
            const int some = rows - m < narrow_rows ? rows - m : narrow_rows;
            if (t.b->kind == Narrow::bf16)
                narrow_some<Narrow::bf16, narrow_rows>(t, m, some, panel);
            else
                narrow_some<Narrow::int8, narrow_rows>(t, m, some, panel);
        }
}

}  // namespace
}  // namespace recurra
