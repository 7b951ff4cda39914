// 3 x 3 convolutions by Winograd's F(4 x 4, 3 x 3). Part of kernels.cpp.
#pragma once

#include "vectors.h"

namespace glisten {
namespace GLISTEN_ISA {
namespace {

// The polynomials of the algorithm (Toom and Cook's) are taken at 0, +-P, +-Q and infinity. With 1 and 2 for P and Q, as in the
// paper, products of very different sizes cancel one another, and the result has three times the rounding errors of these
// (as many as oneDNN's): Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural
// networks", ACM TOMS 2020. Their powers and products are exact in fp32; only the fractions of G are rounded.
constexpr double P = 5.0 / 8, Q = 3.0 / 2;
constexpr float P1 = P, P2 = P * P, P3 = P * P * P, Q1 = Q, Q2 = Q * Q, Q3 = Q * Q * Q;
constexpr float SUM = P * P + Q * Q, PRODUCT = P * P * Q * Q;
// Denominators of Lagrange's polynomials at 0, +-P and +-Q.
constexpr double AT_0 = P * P * Q * Q, AT_P = 2 * P * P * (P * P - Q * Q), AT_Q = 2 * Q * Q * (Q * Q - P * P);
constexpr float G_0 = 1 / AT_0;
constexpr float G_P0 = 1 / AT_P, G_P1 = P / AT_P, G_P2 = P * P / AT_P;
constexpr float G_Q0 = 1 / AT_Q, G_Q1 = Q / AT_Q, G_Q2 = Q * Q / AT_Q;

// B^T d, of six values.
INLINE void input_transform(const Vec* d, int step, Vec* out, int out_step) {
  Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  Vec even = d4 - Q2 * d2, odd = P1 * (d3 - Q2 * d1);
  Vec even2 = d4 - P2 * d2, odd2 = Q1 * (d3 - P2 * d1);
  out[0] = PRODUCT * d0 - SUM * d2 + d4;
  out[out_step] = even + odd;
  out[2 * out_step] = even - odd;
  out[3 * out_step] = even2 + odd2;
  out[4 * out_step] = even2 - odd2;
  out[5 * out_step] = PRODUCT * d1 - SUM * d3 + d5;
}

// A^T m, of six values to four.
INLINE void output_transform(const Vec* m, int step, Vec* out, int out_step) {
  Vec m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
  Vec s = m1 + m2, t = m1 - m2, u = m3 + m4, v = m3 - m4;
  out[0] = m[0] + s + u;
  out[out_step] = P1 * t + Q1 * v;
  out[2 * out_step] = P2 * s + Q2 * u;
  out[3 * out_step] = P3 * t + Q3 * v + m[5 * step];
}

// A y, of four values to six: the transpose of the above.
INLINE void output_gradient(const Vec* y, int step, Vec* out, int out_step) {
  Vec y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
  Vec s = y0 + P2 * y2, t = P1 * y1 + P3 * y3, u = y0 + Q2 * y2, v = Q1 * y1 + Q3 * y3;
  out[0] = y0;
  out[out_step] = s + t;
  out[2 * out_step] = s - t;
  out[3 * out_step] = u + v;
  out[4 * out_step] = u - v;
  out[5 * out_step] = y3;
}

// G g, of three values to six.
INLINE void weight_transform(const Vec* g, int step, Vec* out, int out_step) {
  Vec g0 = g[0], g1 = g[step], g2 = g[2 * step];
  Vec s = g0 * G_P0 + g2 * G_P2, t = g1 * G_P1;
  Vec u = g0 * G_Q0 + g2 * G_Q2, v = g1 * G_Q1;
  out[0] = g0 * G_0;
  out[out_step] = s + t;
  out[2 * out_step] = s - t;
  out[3 * out_step] = u + v;
  out[4 * out_step] = u - v;
  out[5 * out_step] = g2;
}

// G^T m, of six values to three.
INLINE void weight_gradient(const Vec* m, int step, Vec* out, int out_step) {
  Vec m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
  Vec s = m1 + m2, t = m1 - m2, u = m3 + m4, v = m3 - m4;
  out[0] = m[0] * G_0 + s * G_P0 + u * G_Q0;
  out[out_step] = t * G_P1 + v * G_Q1;
  out[2 * out_step] = s * G_P2 + u * G_Q2 + m[5 * step];
}

void spectrum(const Conv3x3& c, const float* weight, bool rotated, float* out, int64_t from, int64_t to) {
  // Of the convolution that the spectrum is for: depth is its input, columns its output.
  const int64_t depth = rotated ? c.out_channels : c.in_channels, columns = rotated ? c.in_channels : c.out_channels;
  const int64_t per_column = rotated ? 9 : 9 * c.in_channels, per_depth = rotated ? 9 * c.in_channels : 9;
  const int64_t n_panels = columns / NR;
  // The range counts panels of 32 columns.
  for (int64_t panel = from * 32 / NR; panel < to * 32 / NR; panel++) {
    for (int64_t d = 0; d < depth; d++) {
      for (int half = 0; half < 2; half++) {
        float g[9][W] __attribute__((aligned(64)));
        for (int j = 0; j < W; j++) {
          const float* kernel = weight + (panel * NR + half * W + j) * per_column + d * per_depth;
          for (int i = 0; i < 9; i++) g[i][j] = kernel[rotated ? 8 - i : i];
        }
        Vec middle[18], result[36];
        const Vec* kernel = reinterpret_cast<const Vec*>(g);
        for (int x = 0; x < 3; x++) weight_transform(kernel + x, 3, middle + x, 3);
        for (int y = 0; y < 6; y++) weight_transform(middle + 3 * y, 1, result + 6 * y, 1);
        for (int xi = 0; xi < 36; xi++)
          store(out + ((xi * n_panels + panel) * depth + d) * NR + half * W, result[xi]);
      }
    }
  }
}

// Transforms the tiles [first, first + count) of x into tiles[36][rows][channels], at row `row` and on.
template <typename T>
void transform_input(const T* x, int64_t height, int64_t width, int64_t channels, int64_t first, int64_t count, float* tiles,
                     int64_t rows, int64_t row) {
  const int64_t across = width / 4, per_image = across * (height / 4);
  for (int64_t t = 0; t < count; t++) {
    const int64_t tile = first + t, image = tile / per_image, place = tile % per_image;
    const int64_t y0 = place / across * 4 - 1, x0 = place % across * 4 - 1;
    const T* source = x + ((image * height + y0) * width + x0) * channels;
    const bool inner = y0 >= 0 && x0 >= 0 && y0 + 6 <= height && x0 + 6 <= width;
    for (int64_t ch = 0; ch < channels; ch += W) {
      Vec d[36], middle[36];
      if (inner) {
        for (int i = 0; i < 6; i++)
          for (int j = 0; j < 6; j++) d[6 * i + j] = load(source + (i * width + j) * channels + ch);
      } else {
        for (int i = 0; i < 6; i++)
          for (int j = 0; j < 6; j++) {
            const bool inside = y0 + i >= 0 && y0 + i < height && x0 + j >= 0 && x0 + j < width;
            d[6 * i + j] = inside ? load(source + (i * width + j) * channels + ch) : Vec{};
          }
      }
      for (int j = 0; j < 6; j++) input_transform(d + j, 6, middle + j, 6);
      for (int i = 0; i < 6; i++) input_transform(middle + 6 * i, 1, d + 6 * i, 1);
      float* out = tiles + (row + t) * channels + ch;
      for (int xi = 0; xi < 36; xi++) store(out + xi * rows * channels, d[xi]);
    }
  }
}

// The same for the gradient of the output.
template <typename T>
void transform_gradient(const T* dy, int64_t height, int64_t width, int64_t channels, int64_t first, int64_t count,
                        float* tiles, int64_t rows, int64_t row) {
  const int64_t across = width / 4, per_image = across * (height / 4);
  for (int64_t t = 0; t < count; t++) {
    const int64_t tile = first + t, image = tile / per_image, place = tile % per_image;
    const T* source = dy + ((image * height + place / across * 4) * width + place % across * 4) * channels;
    for (int64_t ch = 0; ch < channels; ch += W) {
      Vec d[16], middle[24], result[36];
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) d[4 * i + j] = load(source + (i * width + j) * channels + ch);
      for (int j = 0; j < 4; j++) output_gradient(d + j, 4, middle + j, 4);
      for (int i = 0; i < 6; i++) output_gradient(middle + 4 * i, 1, result + 6 * i, 1);
      float* out = tiles + (row + t) * channels + ch;
      for (int xi = 0; xi < 36; xi++) store(out + xi * rows * channels, result[xi]);
    }
  }
}

template <typename T>
void conv3x3_of(const Conv3x3& c, const T* x, const float* spectrum, T* y, int64_t from, int64_t to) {
  const int64_t in = c.in_channels, out = c.out_channels, n_panels = out / NR;
  // Tiles in a pass: what fits the caches near the core, and more where the spectrum is what has to be streamed.
  const int64_t most = std::max<int64_t>(in, out) >= 256 ? 96 : 24 * (MR == 12 ? 2 : 1);
  const int64_t count = std::min(most, (to - from + MR - 1) / MR * MR);
  float* tiles = scratch(36 * count * (in + out) + 64);
  float* products = tiles + 36 * count * in;
  const int64_t across = c.width / 4, per_image = across * (c.height / 4);
  for (int64_t first = from; first < to; first += count) {
    const int64_t n = std::min(count, to - first), rows = (n + MR - 1) / MR * MR;
    transform_input(x, c.height, c.width, in, first, n, tiles, count, 0);
    for (int64_t xi = 0; xi < 36; xi++)
      for (int64_t panel = 0; panel < n_panels; panel++) {
        const float* b = spectrum + (xi * n_panels + panel) * in * NR;
        for (int64_t r = 0; r < rows; r += MR)
          product<false>(in, tiles + (xi * count + r) * in, in, 1, b, NR, products + (xi * count + r) * out + panel * NR, out);
      }
    for (int64_t t = 0; t < n; t++) {
      const int64_t tile = first + t, image = tile / per_image, place = tile % per_image;
      T* target = y + ((image * c.height + place / across * 4) * c.width + place % across * 4) * out;
      for (int64_t ch = 0; ch < out; ch += W) {
        Vec m[36], middle[24], result[16];
        for (int xi = 0; xi < 36; xi++) m[xi] = load(products + (xi * count + t) * out + ch);
        for (int j = 0; j < 6; j++) output_transform(m + j, 6, middle + j, 6);
        for (int i = 0; i < 4; i++) output_transform(middle + 6 * i, 1, result + 4 * i, 1);
        for (int i = 0; i < 4; i++)
          for (int j = 0; j < 4; j++) store(target + (i * c.width + j) * out + ch, result[4 * i + j]);
      }
    }
  }
}

void conv3x3(const Conv3x3& c, Element e, const void* x, const float* spectrum, void* y, int64_t from, int64_t to) {
  if (e == Element::f32)
    conv3x3_of(c, static_cast<const float*>(x), spectrum, static_cast<float*>(y), from, to);
  else
    conv3x3_of(c, static_cast<const bf16*>(x), spectrum, static_cast<bf16*>(y), from, to);
}

template <typename T>
void conv3x3_transform_of(const Conv3x3& c, const T* x, const T* dy, int64_t first, int64_t n, float* x_tiles, float* dy_tiles,
                          int64_t from, int64_t to) {
  transform_input(x, c.height, c.width, c.in_channels, first + from, to - from, x_tiles, n, from);
  transform_gradient(dy, c.height, c.width, c.out_channels, first + from, to - from, dy_tiles, n, from);
}

void conv3x3_transform(const Conv3x3& c, Element e, const void* x, const void* dy, int64_t first, int64_t n, float* x_tiles,
                       float* dy_tiles, int64_t from, int64_t to) {
  if (e == Element::f32)
    conv3x3_transform_of(c, static_cast<const float*>(x), static_cast<const float*>(dy), first, n, x_tiles, dy_tiles, from,
                         to);
  else
    conv3x3_transform_of(c, static_cast<const bf16*>(x), static_cast<const bf16*>(dy), first, n, x_tiles, dy_tiles, from, to);
}

template <bool ADD>
void multiply(const Conv3x3& c, int64_t n, const float* x_tiles, const float* dy_tiles, float* result, int64_t from,
              int64_t to) {
  const int64_t in = c.in_channels, out = c.out_channels;
  for (int64_t xi = from; xi < to; xi++)
    transposed_product<ADD>(n, x_tiles + xi * n * in, in, dy_tiles + xi * n * out, out, result + xi * in * out, 0, in);
}

void conv3x3_multiply(const Conv3x3& c, int64_t n, const float* x_tiles, const float* dy_tiles, bool add, float* result,
                      int64_t from, int64_t to) {
  if (add)
    multiply<true>(c, n, x_tiles, dy_tiles, result, from, to);
  else
    multiply<false>(c, n, x_tiles, dy_tiles, result, from, to);
}

void conv3x3_weight(const Conv3x3& c, const float* gradient, float* dw, int64_t from, int64_t to) {
  const int64_t in = c.in_channels, out = c.out_channels;
  // Eight or sixteen output channels side by side; the range counts groups of 16.
  for (int64_t k = from * 16; k < to * 16; k += W)
    for (int64_t ch = 0; ch < in; ch++) {
      Vec m[36], middle[18], result[9];
      for (int xi = 0; xi < 36; xi++) m[xi] = load(gradient + (xi * in + ch) * out + k);
      for (int j = 0; j < 6; j++) weight_gradient(m + j, 6, middle + j, 6);
      for (int i = 0; i < 3; i++) weight_gradient(middle + 6 * i, 1, result + 3 * i, 1);
      for (int j = 0; j < W; j++)
        for (int i = 0; i < 9; i++) dw[((k + j) * in + ch) * 9 + i] = result[i][j];
    }
}

}  // namespace
}  // namespace GLISTEN_ISA
}  // namespace glisten
