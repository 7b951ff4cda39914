// What the parts of kernels.cpp have in common: vectors as wide as the instruction set has them, and a product held in registers.
#pragma once

#include "kernels.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace glisten {
namespace GLISTEN_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int W = 16;   // floats in a vector
constexpr int MR = 12;  // rows of a product held in registers
#else
constexpr int W = 8;
constexpr int MR = 6;
#endif
constexpr int NR = 2 * W;  // and columns

typedef float Vec __attribute__((vector_size(W * 4)));
typedef float VecU __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef int32_t Int __attribute__((vector_size(W * 4)));
typedef uint32_t UInt __attribute__((vector_size(W * 4)));
typedef uint16_t Half __attribute__((vector_size(W * 2), aligned(2), may_alias));
typedef uint8_t Byte __attribute__((vector_size(W), aligned(1), may_alias));

#define INLINE inline __attribute__((always_inline))

struct bf16 {
  uint16_t bits;
};

INLINE Vec splat(float v) { return v - Vec{}; }  // not `Vec{} + v`, which would have to add, for the sake of -0
INLINE Vec load(const float* p) { return *reinterpret_cast<const VecU*>(p); }
INLINE void store(float* p, Vec v) { *reinterpret_cast<VecU*>(p) = v; }
INLINE Vec load(const bf16* p) {
  UInt wide = __builtin_convertvector(*reinterpret_cast<const Half*>(p), UInt);
  return (Vec)(wide << 16);
}
// To the nearest, ties to even.
INLINE void store(bf16* p, Vec v) {
  UInt u = (UInt)v;
  UInt rounded = (u + 0x7FFF + ((u >> 16) & 1)) >> 16;
  UInt nan = (UInt)(v != v);
  *reinterpret_cast<Half*>(p) = __builtin_convertvector((rounded & ~nan) | (nan & 0x7FC0), Half);
}

INLINE float single(float v) { return v; }
INLINE float single(bf16 v) {
  const uint32_t bits = uint32_t(v.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Memory for one thread's intermediate results, kept for the next call.
float* scratch(size_t floats) {
  thread_local std::vector<float> memory;
  thread_local float* aligned = nullptr;
  if (memory.size() < floats + 16) {
    memory.assign(floats + 16, 0.0f);
    aligned = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t(63));
  }
  return aligned;
}

// So many terms are added up in registers, then the sums of such runs: rounding errors grow with the root of the run's length
// and of the number of runs, not with that of the whole depth, which is thousands.
constexpr int64_t RUN = 64;

// c[MR][NR] (+)= a[MR][depth] * b[depth][NR].
template <bool ADD>
INLINE void product(int64_t depth, const float* a, int64_t a_row, int64_t a_depth, const float* b, int64_t b_depth, float* c,
                    int64_t c_row) {
  bool add = ADD;
  for (int64_t from = 0; from < depth; from += RUN) {
    const int64_t to = std::min(depth, from + RUN);
    Vec sum[MR][2];
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = Vec{};
    for (int64_t p = from; p < to; p++) {
      Vec b0 = load(b), b1 = load(b + W);
#pragma GCC unroll 12
      for (int i = 0; i < MR; i++) {
        Vec ai = splat(a[i * a_row]);
        sum[i][0] += ai * b0;
        sum[i][1] += ai * b1;
      }
      a += a_depth;
      b += b_depth;
    }
    if (add) {
#pragma GCC unroll 12
      for (int i = 0; i < MR; i++) {
        sum[i][0] += load(c + i * c_row);
        sum[i][1] += load(c + i * c_row + W);
      }
    }
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
      store(c + i * c_row, sum[i][0]);
      store(c + i * c_row + W, sum[i][1]);
    }
    add = true;
  }
}

// result[from..to)[columns] (+)= the columns [from, to) of a[n][width], transposed, times b[n][columns]. `to` is MR or more.
template <bool ADD>
void transposed_product(int64_t n, const float* a, int64_t width, const float* b, int64_t columns, float* result, int64_t from,
                        int64_t to) {
  float rest[MR * NR] __attribute__((aligned(64)));
  for (int64_t k = 0; k < columns; k += NR) {
    int64_t i = from;
    for (; i + MR <= to; i += MR)
      product<ADD>(n, a + i, 1, width, b + k, columns, result + i * columns + k, columns);
    if (i < to) {
      // The last rows again, beginning earlier, of which the new ones are kept.
      const int64_t begin = to - MR;
      product<false>(n, a + begin, 1, width, b + k, columns, rest, NR);
      for (int64_t row = i; row < to; row++)
        for (int j = 0; j < NR; j++) {
          float* place = result + row * columns + k + j;
          *place = (ADD ? *place : 0.0f) + rest[(row - begin) * NR + j];
        }
    }
  }
}

}  // namespace
}  // namespace GLISTEN_ISA
}  // namespace glisten
