// Other convolutions, as products with patches laid out as rows. Part of kernels.cpp.
#pragma once

#include "vectors.h"

namespace glisten {
namespace GLISTEN_ISA {
namespace {

// Patches of the rows [first, first + count), to [count][depth].
template <typename T>
void patches(const Conv& c, const T* x, int64_t first, int64_t count, float* out) {
  const int64_t across = c.out_width(), per_image = across * c.out_height(), channels = c.in_channels;
  for (int64_t r = 0; r < count; r++) {
    const int64_t row = first + r, image = row / per_image, place = row % per_image;
    const int64_t y0 = place / across * c.stride - c.padding, x0 = place % across * c.stride - c.padding;
    float* target = out + r * c.depth();
    for (int64_t i = 0; i < c.side; i++)
      for (int64_t j = 0; j < c.side; j++, target += channels) {
        if (y0 + i < 0 || y0 + i >= c.height || x0 + j < 0 || x0 + j >= c.width) {
          std::memset(target, 0, sizeof(float) * channels);
          continue;
        }
        const T* source = x + ((image * c.height + y0 + i) * c.width + x0 + j) * channels;
        if (channels % W == 0)
          for (int64_t ch = 0; ch < channels; ch += W) store(target + ch, load(source + ch));
        else
          for (int64_t ch = 0; ch < channels; ch++) target[ch] = single(source[ch]);
      }
  }
}

// [count][channels] of any element to floats, or back.
template <typename From, typename To>
void copy_rows(const From* from, int64_t values, To* to) {
  for (int64_t i = 0; i < values; i += W) store(to + i, load(from + i));
}

void conv_pack(const Conv& c, const float* weight, bool back, float* packed, int64_t from, int64_t to) {
  const int64_t taps = c.side * c.side, in = c.in_channels, out = c.out_channels;
  const int64_t depth = back ? out : c.depth();
  for (int64_t panel = from * 32 / NR; panel < to * 32 / NR; panel++)
    for (int64_t d = 0; d < depth; d++)
      for (int64_t j = 0; j < NR; j++) {
        const int64_t column = panel * NR + j, k = back ? d : column, place = back ? column : d;
        packed[(panel * depth + d) * NR + j] = weight[(k * in + place % in) * taps + place / in];
      }
}

// rows[count][columns] = a[count][depth] * packed; count is rounded up to MR.
void panel_product(int64_t count, const float* a, int64_t depth, const float* packed, int64_t columns, float* rows) {
  for (int64_t panel = 0; panel < columns / NR; panel++)
    for (int64_t r = 0; r < count; r += MR)
      product<false>(depth, a + r * depth, depth, 1, packed + panel * depth * NR, NR, rows + r * columns + panel * NR, columns);
}

template <typename T>
void conv_of(const Conv& c, const T* x, const float* packed, T* y, int64_t from, int64_t to) {
  const int64_t depth = c.depth(), out = c.out_channels;
  const int64_t most = std::max<int64_t>(MR, 98304 / (depth + out) / MR * MR);
  float* rows = scratch(most * (depth + out) + 64);
  float* products = rows + (most * depth + 15) / 16 * 16;
  for (int64_t first = from; first < to; first += most) {
    const int64_t n = std::min(most, to - first);
    patches(c, x, first, n, rows);
    panel_product(n, rows, depth, packed, out, products);
    copy_rows(products, n * out, y + first * out);
  }
}

template <typename T>
void conv_back_of(const Conv& c, const T* dy, const float* packed, T* dx, int64_t from, int64_t to) {
  const int64_t depth = c.depth(), in = c.in_channels, out = c.out_channels, across = c.out_width();
  const int64_t per_image = across * c.out_height(), values = c.height * c.width * in;
  const int64_t rows = (per_image + MR - 1) / MR * MR;
  float* gradient = scratch(rows * (out + depth) + values + 64);
  float* products = gradient + rows * out;
  float* sums = products + rows * depth;
  for (int64_t image = from; image < to; image++) {
    copy_rows(dy + image * per_image * out, per_image * out, gradient);
    panel_product(per_image, gradient, out, packed, depth, products);
    std::memset(sums, 0, sizeof(float) * values);
    for (int64_t row = 0; row < per_image; row++) {
      const int64_t y0 = row / across * c.stride - c.padding, x0 = row % across * c.stride - c.padding;
      const float* source = products + row * depth;
      for (int64_t i = 0; i < c.side; i++)
        for (int64_t j = 0; j < c.side; j++, source += in) {
          if (y0 + i < 0 || y0 + i >= c.height || x0 + j < 0 || x0 + j >= c.width) continue;
          float* target = sums + ((y0 + i) * c.width + x0 + j) * in;
          for (int64_t ch = 0; ch < in; ch += W) store(target + ch, load(target + ch) + load(source + ch));
        }
    }
    copy_rows(sums, values, dx + image * values);
  }
}

void conv(const Conv& c, Element e, const void* x, const float* packed, void* y, int64_t from, int64_t to) {
  if (e == Element::f32)
    conv_of(c, static_cast<const float*>(x), packed, static_cast<float*>(y), from, to);
  else
    conv_of(c, static_cast<const bf16*>(x), packed, static_cast<bf16*>(y), from, to);
}

void conv_back(const Conv& c, Element e, const void* dy, const float* packed, void* dx, int64_t from, int64_t to) {
  if (e == Element::f32)
    conv_back_of(c, static_cast<const float*>(dy), packed, static_cast<float*>(dx), from, to);
  else
    conv_back_of(c, static_cast<const bf16*>(dy), packed, static_cast<bf16*>(dx), from, to);
}

template <typename T>
void conv_patches_of(const Conv& c, const T* x, const T* dy, int64_t first, float* rows, float* gradient, int64_t from,
                     int64_t to) {
  patches(c, x, first + from, to - from, rows + from * c.depth());
  copy_rows(dy + (first + from) * c.out_channels, (to - from) * c.out_channels, gradient + from * c.out_channels);
}

void conv_patches(const Conv& c, Element e, const void* x, const void* dy, int64_t first, float* rows, float* gradient,
                  int64_t from, int64_t to) {
  if (e == Element::f32)
    conv_patches_of(c, static_cast<const float*>(x), static_cast<const float*>(dy), first, rows, gradient, from, to);
  else
    conv_patches_of(c, static_cast<const bf16*>(x), static_cast<const bf16*>(dy), first, rows, gradient, from, to);
}

void conv_multiply(const Conv& c, int64_t n, const float* rows, const float* gradient, bool add, float* sums, int64_t from,
                   int64_t to) {
  if (add)
    transposed_product<true>(n, rows, c.depth(), gradient, c.out_channels, sums, from, to);
  else
    transposed_product<false>(n, rows, c.depth(), gradient, c.out_channels, sums, from, to);
}

}  // namespace
}  // namespace GLISTEN_ISA
}  // namespace glisten
