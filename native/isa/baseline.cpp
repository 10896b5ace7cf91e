// What every x86-64 has (SSE2); elsewhere whatever the compiler makes of 16-byte vectors.
#define RECURRA_NAME "baseline"
#define RECURRA_TABLE kernels_baseline
#define RECURRA_VECTOR_BYTES 16
#define RECURRA_TILE_ROWS 4
#define RECURRA_TILE_VECTORS 2
#include "table.h"
