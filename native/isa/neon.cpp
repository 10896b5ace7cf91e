// NEON, which every aarch64 has: 32 registers, of which 16 hold the tile.
#define RECURRA_NAME "neon"
#define RECURRA_TABLE kernels_neon
#define RECURRA_VECTOR_BYTES 16
#define RECURRA_TILE_ROWS 8
#define RECURRA_TILE_VECTORS 2
#include "table.h"
