// AVX-512 F, DQ, BW, VL: 32 registers, of which 24 hold the tile.
#define RECURRA_NAME "avx512"
#define RECURRA_TABLE kernels_avx512
#define RECURRA_VECTOR_BYTES 64
#define RECURRA_TILE_ROWS 8
#define RECURRA_TILE_VECTORS 3
#include "table.h"
