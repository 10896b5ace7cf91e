// AVX2 with FMA: 16 registers, of which 12 hold the tile.
#define RECURRA_NAME "avx2"
#define RECURRA_TABLE kernels_avx2
#define RECURRA_VECTOR_BYTES 32
#define RECURRA_TILE_ROWS 6
#define RECURRA_TILE_VECTORS 2
#include "table.h"
