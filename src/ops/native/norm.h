// Batch normalisation. Part of kernels.cpp.
#pragma once

#include "vectors.h"

namespace glisten {
namespace GLISTEN_ISA {
namespace {

// As RUN, of rows in a chunk.
constexpr int64_t ROW_RUN = 16;

template <typename T>
void norm_moments_of(const Norm& n, const T* x, float* moments, int64_t from, int64_t to) {
  const int64_t channels = n.channels;
  for (int64_t chunk = from; chunk < to; chunk++) {
    const int64_t first = chunk * NORM_CHUNK, last = std::min(n.rows, first + NORM_CHUNK);
    float* out = moments + chunk * 3 * channels;
    for (int64_t ch = 0; ch < channels; ch += 2 * W) {
      const bool two = ch + W < channels;
      const int64_t other = two ? W : 0;
      const T* column = x + ch;
      const Vec c0 = load(column + first * channels), c1 = load(column + first * channels + other);
      Vec s0{}, s1{}, q0{}, q1{};
      for (int64_t begin = first; begin < last; begin += ROW_RUN) {
        Vec rs0{}, rs1{}, rq0{}, rq1{};
        for (int64_t r = begin; r < std::min(last, begin + ROW_RUN); r++) {
          const Vec d0 = load(column + r * channels) - c0, d1 = load(column + r * channels + other) - c1;
          rs0 += d0;
          rs1 += d1;
          rq0 += d0 * d0;
          rq1 += d1 * d1;
        }
        s0 += rs0;
        s1 += rs1;
        q0 += rq0;
        q1 += rq1;
      }
      store(out + ch, c0);
      store(out + channels + ch, s0);
      store(out + 2 * channels + ch, q0);
      if (two) {
        store(out + ch + W, c1);
        store(out + channels + ch + W, s1);
        store(out + 2 * channels + ch + W, q1);
      }
    }
  }
}

INLINE Vec positive(Vec v) { return v > 0.0f ? v : Vec{}; }

template <typename T, bool BESIDE, bool RELU>
void norm_apply_of(const Norm& n, const T* x, const float* scale, const float* shift, const T* beside, T* y, int64_t from,
                   int64_t to) {
  for (int64_t r = from; r < to; r++) {
    const int64_t at = r * n.channels;
    for (int64_t ch = 0; ch < n.channels; ch += W) {
      Vec v = load(x + at + ch) * load(scale + ch) + load(shift + ch);
      if (BESIDE) v += load(beside + at + ch);
      store(y + at + ch, RELU ? positive(v) : v);
    }
  }
}

template <typename T>
void norm_gradient_sums_of(const Norm& n, const T* x, const T* y, const T* dy, const float* mean, float* sums, int64_t from,
                           int64_t to) {
  const int64_t channels = n.channels;
  for (int64_t chunk = from; chunk < to; chunk++) {
    const int64_t first = chunk * NORM_CHUNK, last = std::min(n.rows, first + NORM_CHUNK);
    float* out = sums + chunk * 2 * channels;
    for (int64_t ch = 0; ch < channels; ch += W) {
      const Vec m = load(mean + ch);
      Vec s{}, p{};
      for (int64_t begin = first; begin < last; begin += ROW_RUN) {
        Vec rs{}, rp{};
        for (int64_t r = begin; r < std::min(last, begin + ROW_RUN); r++) {
          const int64_t at = r * channels + ch;
          Vec dz = load(dy + at);
          if (y) dz = load(y + at) > 0.0f ? dz : Vec{};
          rs += dz;
          rp += dz * (load(x + at) - m);
        }
        s += rs;
        p += rp;
      }
      store(out + ch, s);
      store(out + channels + ch, p);
    }
  }
}

template <typename T, bool MASK, bool KEEP>
void norm_gradient_of(const Norm& n, const T* x, const T* y, const T* dy, const float* a, const float* b, const float* c, T* dx,
                      T* dz_out, int64_t from, int64_t to) {
  for (int64_t r = from; r < to; r++) {
    const int64_t at = r * n.channels;
    for (int64_t ch = 0; ch < n.channels; ch += W) {
      Vec dz = load(dy + at + ch);
      if (MASK) dz = load(y + at + ch) > 0.0f ? dz : Vec{};
      if (KEEP) store(dz_out + at + ch, dz);
      store(dx + at + ch, load(a + ch) * dz + (load(b + ch) * load(x + at + ch) + load(c + ch)));
    }
  }
}

void norm_moments(const Norm& n, Element e, const void* x, float* moments, int64_t from, int64_t to) {
  if (e == Element::f32)
    norm_moments_of(n, static_cast<const float*>(x), moments, from, to);
  else
    norm_moments_of(n, static_cast<const bf16*>(x), moments, from, to);
}

template <typename T>
void norm_apply_typed(const Norm& n, const void* x, const float* scale, const float* shift, const void* beside, bool relu,
                      void* y, int64_t from, int64_t to) {
  const T *xs = static_cast<const T*>(x), *bs = static_cast<const T*>(beside);
  T* ys = static_cast<T*>(y);
  if (beside)
    relu ? norm_apply_of<T, true, true>(n, xs, scale, shift, bs, ys, from, to)
         : norm_apply_of<T, true, false>(n, xs, scale, shift, bs, ys, from, to);
  else
    relu ? norm_apply_of<T, false, true>(n, xs, scale, shift, bs, ys, from, to)
         : norm_apply_of<T, false, false>(n, xs, scale, shift, bs, ys, from, to);
}

void norm_apply(const Norm& n, Element e, const void* x, const float* scale, const float* shift, const void* beside, bool relu,
                void* y, int64_t from, int64_t to) {
  if (e == Element::f32)
    norm_apply_typed<float>(n, x, scale, shift, beside, relu, y, from, to);
  else
    norm_apply_typed<bf16>(n, x, scale, shift, beside, relu, y, from, to);
}

void norm_gradient_sums(const Norm& n, Element e, const void* x, const void* y, const void* dy, const float* mean, float* sums,
                        int64_t from, int64_t to) {
  if (e == Element::f32)
    norm_gradient_sums_of(n, static_cast<const float*>(x), static_cast<const float*>(y), static_cast<const float*>(dy), mean,
                          sums, from, to);
  else
    norm_gradient_sums_of(n, static_cast<const bf16*>(x), static_cast<const bf16*>(y), static_cast<const bf16*>(dy), mean,
                          sums, from, to);
}

template <typename T>
void norm_gradient_typed(const Norm& n, const void* x, const void* y, const void* dy, const float* a, const float* b,
                         const float* c, void* dx, void* dz, int64_t from, int64_t to) {
  const T *xs = static_cast<const T*>(x), *ys = static_cast<const T*>(y), *dys = static_cast<const T*>(dy);
  T *dxs = static_cast<T*>(dx), *dzs = static_cast<T*>(dz);
  if (y)
    dz ? norm_gradient_of<T, true, true>(n, xs, ys, dys, a, b, c, dxs, dzs, from, to)
       : norm_gradient_of<T, true, false>(n, xs, ys, dys, a, b, c, dxs, dzs, from, to);
  else
    norm_gradient_of<T, false, false>(n, xs, ys, dys, a, b, c, dxs, dzs, from, to);
}

void norm_gradient(const Norm& n, Element e, const void* x, const void* y, const void* dy, const float* a, const float* b,
                   const float* c, void* dx, void* dz, int64_t from, int64_t to) {
  if (e == Element::f32)
    norm_gradient_typed<float>(n, x, y, dy, a, b, c, dx, dz, from, to);
  else
    norm_gradient_typed<bf16>(n, x, y, dy, a, b, c, dx, dz, from, to);
}

}  // namespace
}  // namespace GLISTEN_ISA
}  // namespace glisten
