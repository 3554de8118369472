#pragma once

// Force-included where llama.cpp is built for AMX. GCC 12 and 13 declare _tile_loadconfig to read 8 of the
// configuration's 64 bytes, so the optimiser drops the stores to the others, and the instruction faults on what is
// left on the stack. This says how much is read; nothing else changes.
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
struct AllTileBytes {
  unsigned char bytes[64];
};
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg\t%0" ::"m"(*reinterpret_cast<const AllTileBytes*>(config)))
#endif
