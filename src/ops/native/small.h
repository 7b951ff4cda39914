// Small convolutions with pooling: the images of a block lie side by side in vectors, [C][H][W][block]. Part of kernels.cpp.
#pragma once

#include "vectors.h"

namespace glisten {
namespace GLISTEN_ISA {
namespace {

// `count` images of [values] each, to [values][W], the rest of the block 0.
void interleave(const float* x, int64_t count, int64_t channels, int64_t height, int64_t width, int64_t border, float* out) {
  const int64_t wide = width + 2 * border, high = height + 2 * border;
  if (border > 0) std::memset(out, 0, sizeof(float) * channels * high * wide * W);
  const int64_t values = channels * height * width;
  for (int64_t ch = 0; ch < channels; ch++)
    for (int64_t r = 0; r < height; r++) {
      float* row = out + ((ch * high + r + border) * wide + border) * W;
      const float* from = x + (ch * height + r) * width;
      if (count == W) {
        for (int64_t i = 0; i < width; i++)
          for (int j = 0; j < W; j++) row[i * W + j] = from[j * values + i];
      } else {
        for (int64_t i = 0; i < width; i++)
          for (int j = 0; j < W; j++) row[i * W + j] = j < count ? from[j * values + i] : 0.0f;
      }
    }
}

// Rows or columns of a kernel.
struct Taps {
  int64_t from, to;
};

// Sums of a convolution at the four places (y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1), for KB output channels.
template <int KB>
INLINE void convolve(const float* x, int64_t channels, int64_t high, int64_t wide, int64_t side, Taps rows, Taps columns,
                     const float* weight, int64_t per_k, Vec (*sum)[4]) {
  for (int64_t ch = 0; ch < channels; ch++)
    for (int64_t dy = rows.from; dy < rows.to; dy++) {
      const float* row = x + (ch * high + dy) * wide * W;
      const float* kernel = weight + (ch * side + dy) * side;
      for (int64_t dx = columns.from; dx < columns.to; dx++) {
        Vec w[KB];
#pragma GCC unroll 3
        for (int k = 0; k < KB; k++) w[k] = splat(kernel[k * per_k + dx]);
#pragma GCC unroll 4
        for (int at = 0; at < 4; at++) {
          const Vec v = load(row + (dx + (at & 1) + (at >> 1) * wide) * W);
#pragma GCC unroll 3
          for (int k = 0; k < KB; k++) sum[k][at] += w[k] * v;
        }
      }
    }
}

template <int KB>
void pool_rows(const ConvPool& c, const float* x, const float* weight, const float* bias, float* pooled, uint8_t* chosen,
               int64_t k) {
  const int64_t high = c.height + 2 * c.padding, wide = c.width + 2 * c.padding, per_k = c.in_channels * c.side * c.side;
  const int64_t ph = c.pooled_height(), pw = c.pooled_width();
  const Taps all{0, c.side};
  for (int64_t y = 0; y < ph; y++)
    for (int64_t p = 0; p < pw; p++) {
      Vec sum[KB][4] = {};
      convolve<KB>(x + (2 * y * wide + 2 * p) * W, c.in_channels, high, wide, c.side, all, all,
                   weight + k * per_k, per_k, sum);
#pragma GCC unroll 3
      for (int i = 0; i < KB; i++) {
        const Vec b = splat(bias[k + i]);
        Vec best = sum[i][0];
        Int which{};
        for (int at = 1; at < 4; at++) {
          const Int higher = sum[i][at] > best;
          best = higher ? sum[i][at] : best;
          which = higher ? Int{} + at : which;
        }
        best += b;
        const Int dead = ~(best > 0.0f);
        const int64_t place = (((k + i) * ph + y) * pw + p) * W;
        // What is not a number stays so.
        store(pooled + place, best <= 0.0f ? Vec{} : best);
        which = dead ? Int{} + 4 : which;
        *reinterpret_cast<Byte*>(chosen + place) = __builtin_convertvector(which, Byte);
      }
    }
}

// How many of the `left` output channels to take at a time.
INLINE int64_t group(int64_t left) { return left == 1 ? 1 : left == 2 || left == 4 ? 2 : 3; }

void conv_pool(const ConvPool& c, const float* x, const float* weight, const float* bias, float* y, uint8_t* chosen,
               int64_t from, int64_t to) {
  const int64_t values = c.in_channels * c.height * c.width, outputs = c.out_channels * c.pooled_height() * c.pooled_width();
  const int64_t padded = c.in_channels * (c.height + 2 * c.padding) * (c.width + 2 * c.padding) * W;
  float* block = scratch(padded + outputs * W + 32);
  float* pooled = block + (padded + 15) / 16 * 16;
  for (int64_t b = from; b < to; b++) {
    const int64_t count = std::min<int64_t>(W, c.n - b * W);
    interleave(x + b * W * values, count, c.in_channels, c.height, c.width, c.padding, block);
    uint8_t* which = chosen + b * outputs * W;
    for (int64_t k = 0; k < c.out_channels;) {
      const int64_t some = group(c.out_channels - k);
      if (some == 3)
        pool_rows<3>(c, block, weight, bias, pooled, which, k);
      else if (some == 2)
        pool_rows<2>(c, block, weight, bias, pooled, which, k);
      else
        pool_rows<1>(c, block, weight, bias, pooled, which, k);
      k += some;
    }
    float* out = y + b * W * outputs;
    for (int64_t j = 0; j < count; j++)
      for (int64_t i = 0; i < outputs; i++) out[j * outputs + i] = pooled[i * W + j];
  }
}

// Gradient of the weights of KB output channels and one input channel, DX places of a kernel's row at a time.
template <int KB, int DX>
INLINE void weight_row(const float* x, int64_t wide, const float* g, int64_t g_high, int64_t g_wide, int64_t g_border,
                       int64_t rows, int64_t columns, float* sums, int64_t per_k) {
  Vec sum[KB][DX] = {};
  for (int64_t y = 0; y < rows; y++) {
    const float* gradient = g + ((y + g_border) * g_wide + g_border) * W;
    const float* row = x + y * wide * W;
    for (int64_t i = 0; i < columns; i++) {
      Vec gk[KB];
#pragma GCC unroll 2
      for (int k = 0; k < KB; k++) gk[k] = load(gradient + (k * g_high * g_wide + i) * W);
#pragma GCC unroll 5
      for (int d = 0; d < DX; d++) {
        const Vec v = load(row + (i + d) * W);
#pragma GCC unroll 2
        for (int k = 0; k < KB; k++) sum[k][d] += gk[k] * v;
      }
    }
  }
  for (int k = 0; k < KB; k++)
    for (int d = 0; d < DX; d++) {
      float* place = sums + (k * per_k + d) * W;
      store(place, load(place) + sum[k][d]);
    }
}

template <int KB>
void weight_sums(const ConvPool& c, const float* x, const float* g, int64_t border, int64_t k, float* sums) {
  const int64_t high = c.height + 2 * c.padding, wide = c.width + 2 * c.padding, side = c.side;
  const int64_t rows = 2 * c.pooled_height(), columns = 2 * c.pooled_width();
  const int64_t g_high = c.conv_height() + 2 * border, g_wide = c.conv_width() + 2 * border;
  const int64_t per_k = c.in_channels * side * side;
  for (int64_t ch = 0; ch < c.in_channels; ch++)
    for (int64_t dy = 0; dy < side; dy++) {
      const float* row = x + (ch * high + dy) * wide * W;
      float* out = sums + (k * per_k + (ch * side + dy) * side) * W;
      const float* gradient = g + k * g_high * g_wide * W;
      int64_t dx = 0;
      for (; dx + 5 <= side; dx += 5)
        weight_row<KB, 5>(row + dx * W, wide, gradient, g_high, g_wide, border, rows, columns, out + dx * W, per_k);
      for (; dx < side; dx++)
        weight_row<KB, 1>(row + dx * W, wide, gradient, g_high, g_wide, border, rows, columns, out + dx * W, per_k);
    }
}

template <int KB>
void gradient_rows(const ConvPool& c, const float* g, int64_t border, const float* turned, int64_t ch, float* dx) {
  const int64_t g_high = c.conv_height() + 2 * border, g_wide = c.conv_width() + 2 * border;
  const int64_t per_ch = c.out_channels * c.side * c.side;
  // Taps that meet more than the border at one of two neighbouring places.
  const auto inner = [&](int64_t at, int64_t size) {
    return Taps{std::max<int64_t>(0, border - at - 1), std::min(c.side, border + size - at)};
  };
  for (int64_t y = 0; y < c.height; y += 2)
    for (int64_t i = 0; i < c.width; i += 2) {
      Vec sum[KB][4] = {};
      convolve<KB>(g + (y * g_wide + i) * W, c.out_channels, g_high, g_wide, c.side, inner(y, c.conv_height()),
                   inner(i, c.conv_width()), turned + ch * per_ch, per_ch, sum);
      for (int k = 0; k < KB; k++)
        for (int at = 0; at < 4; at++)
          if (y + (at >> 1) < c.height && i + (at & 1) < c.width)
            store(dx + (((ch + k) * c.height + y + (at >> 1)) * c.width + i + (at & 1)) * W, sum[k][at]);
    }
}

void conv_pool_gradient(const ConvPool& c, const float* x, const float* weight, const uint8_t* chosen, const float* dy,
                        float* dx, float* sums, int64_t from, int64_t to) {
  const int64_t values = c.in_channels * c.height * c.width, ph = c.pooled_height(), pw = c.pooled_width();
  const int64_t outputs = c.out_channels * ph * pw, n_weights = c.out_channels * c.in_channels * c.side * c.side;
  const int64_t padded = c.in_channels * (c.height + 2 * c.padding) * (c.width + 2 * c.padding) * W;
  // Around the gradient of the convolution lies what lets the convolution that carries it back begin at the input's corner.
  const int64_t border = dx ? c.side - 1 - c.padding : 0;
  const int64_t g_high = c.conv_height() + 2 * border, g_wide = c.conv_width() + 2 * border;
  const int64_t spread = c.out_channels * g_high * g_wide * W;
  // The four places of the last row and column may reach beyond an odd side: into the slack.
  const int64_t slack = (2 * g_wide + 2 * c.side) * W;
  float* block = scratch(padded + spread + slack + n_weights + values * W + outputs * W + 128);
  float* g = block + (padded + 15) / 16 * 16;
  float* turned = g + (spread + slack + 15) / 16 * 16;
  float* back = turned + (n_weights + 15) / 16 * 16;
  float* gradient = back + values * W;
  if (dx)
    for (int64_t k = 0; k < c.out_channels; k++)
      for (int64_t ch = 0; ch < c.in_channels; ch++)
        for (int64_t i = 0; i < c.side * c.side; i++)
          turned[(ch * c.out_channels + k) * c.side * c.side + i] =
              weight[(k * c.in_channels + ch) * c.side * c.side + c.side * c.side - 1 - i];
  for (int64_t b = from; b < to; b++) {
    const int64_t count = std::min<int64_t>(W, c.n - b * W);
    interleave(x + b * W * values, count, c.in_channels, c.height, c.width, c.padding, block);
    interleave(dy + b * W * outputs, count, c.out_channels, ph, pw, 0, gradient);
    std::memset(g, 0, sizeof(float) * (spread + slack));
    for (int64_t k = 0; k < c.out_channels; k++) {
      Vec total{};
      for (int64_t y = 0; y < ph; y++)
        for (int64_t p = 0; p < pw; p++) {
          const int64_t place = ((k * ph + y) * pw + p) * W;
          const Vec v = load(gradient + place);
          const Int which =
              __builtin_convertvector(*reinterpret_cast<const Byte*>(chosen + b * outputs * W + place), Int);
          total += which == 4 ? Vec{} : v;
          float* at = g + ((k * g_high + 2 * y + border) * g_wide + 2 * p + border) * W;
          store(at, which == 0 ? v : Vec{});
          store(at + W, which == 1 ? v : Vec{});
          store(at + g_wide * W, which == 2 ? v : Vec{});
          store(at + (g_wide + 1) * W, which == 3 ? v : Vec{});
        }
      float* bias = sums + (n_weights + k) * W;
      store(bias, load(bias) + total);
    }
    int64_t k = 0;
    for (; k + 2 <= c.out_channels; k += 2) weight_sums<2>(c, block, g, border, k, sums);
    if (k < c.out_channels) weight_sums<1>(c, block, g, border, k, sums);
    if (!dx) continue;
    for (int64_t ch = 0; ch < c.in_channels;) {
      const int64_t some = group(c.in_channels - ch);
      if (some == 3)
        gradient_rows<3>(c, g, border, turned, ch, back);
      else if (some == 2)
        gradient_rows<2>(c, g, border, turned, ch, back);
      else
        gradient_rows<1>(c, g, border, turned, ch, back);
      ch += some;
    }
    float* out = dx + b * W * values;
    for (int64_t j = 0; j < count; j++)
      for (int64_t i = 0; i < values; i++) out[j * values + i] = back[i * W + j];
  }
}

}  // namespace
}  // namespace GLISTEN_ISA
}  // namespace glisten
