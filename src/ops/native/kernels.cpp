// See kernels.h. Compiled with -DGLISTEN_ISA=base, avx2 or avx512 and the flags of that instruction set.
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

// c[MR][NR] (+)= a[MR][depth] * b[depth][NR].
template <bool ADD>
INLINE void product(int64_t depth, const float* a, int64_t a_row, int64_t a_depth, const float* b, int64_t b_depth, float* c,
                    int64_t c_row) {
  Vec sum[MR][2];
#pragma GCC unroll 12
  for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = Vec{};
  for (int64_t p = 0; p < depth; p++) {
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
#pragma GCC unroll 12
  for (int i = 0; i < MR; i++) {
    float* row = c + i * c_row;
    if (ADD) {
      sum[i][0] += load(row);
      sum[i][1] += load(row + W);
    }
    store(row, sum[i][0]);
    store(row + W, sum[i][1]);
  }
}

// ---- Winograd, F(4 x 4, 3 x 3) ----

// B^T d, of six values.
INLINE void input_transform(const Vec* d, int step, Vec* out, int out_step) {
  Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  Vec even = d4 - 4.0f * d2, odd = d3 - 4.0f * d1;
  Vec even2 = d4 - d2, odd2 = 2.0f * (d3 - d1);
  out[0] = 4.0f * d0 - 5.0f * d2 + d4;
  out[out_step] = even + odd;
  out[2 * out_step] = even - odd;
  out[3 * out_step] = even2 + odd2;
  out[4 * out_step] = even2 - odd2;
  out[5 * out_step] = 4.0f * d1 - 5.0f * d3 + d5;
}

// A^T m, of six values to four.
INLINE void output_transform(const Vec* m, int step, Vec* out, int out_step) {
  Vec m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
  Vec s = m1 + m2, t = m1 - m2, u = m3 + m4, v = m3 - m4;
  out[0] = m[0] + s + u;
  out[out_step] = t + 2.0f * v;
  out[2 * out_step] = s + 4.0f * u;
  out[3 * out_step] = t + 8.0f * v + m[5 * step];
}

// A y, of four values to six: the transpose of the above.
INLINE void output_gradient(const Vec* y, int step, Vec* out, int out_step) {
  Vec y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
  Vec s = y0 + y2, t = y1 + y3, u = y0 + 4.0f * y2, v = 2.0f * y1 + 8.0f * y3;
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
  Vec s = (g0 + g2) * (-1.0f / 6), t = g1 * (1.0f / 6);
  Vec u = g0 * (1.0f / 24) + g2 * (1.0f / 6), v = g1 * (1.0f / 12);
  out[0] = g0 * 0.25f;
  out[out_step] = s - t;
  out[2 * out_step] = s + t;
  out[3 * out_step] = u + v;
  out[4 * out_step] = u - v;
  out[5 * out_step] = g2;
}

// G^T m, of six values to three.
INLINE void weight_gradient(const Vec* m, int step, Vec* out, int out_step) {
  Vec m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
  Vec s = m1 + m2, t = m2 - m1, u = m3 + m4, v = m3 - m4;
  out[0] = m[0] * 0.25f - s * (1.0f / 6) + u * (1.0f / 24);
  out[out_step] = t * (1.0f / 6) + v * (1.0f / 12);
  out[2 * out_step] = (u - s) * (1.0f / 6) + m[5 * step];
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

// ---- Other convolutions ----

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

// ---- Batch normalisation ----

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
      for (int64_t r = first; r < last; r++) {
        const Vec d0 = load(column + r * channels) - c0, d1 = load(column + r * channels + other) - c1;
        s0 += d0;
        s1 += d1;
        q0 += d0 * d0;
        q1 += d1 * d1;
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
      for (int64_t r = first; r < last; r++) {
        const int64_t at = r * channels + ch;
        Vec dz = load(dy + at);
        if (y) dz = load(y + at) > 0.0f ? dz : Vec{};
        s += dz;
        p += dz * (load(x + at) - m);
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

// ---- Small convolutions with pooling: the images of a block lie side by side in vectors, [C][H][W][block] ----

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

// ---- Gathering a batch ----

void gather(const uint8_t* images, int64_t channels, int64_t height, int64_t width, const int64_t* indices,
            const int64_t* shifts, const float* mean, const float* inverse, float* out, int64_t from, int64_t to) {
  const int64_t values = channels * height * width;
  for (int64_t b = from; b < to; b++)
    for (int64_t ch = 0; ch < channels; ch++) {
      const int64_t dy = shifts ? shifts[3 * b] : 0, dx = shifts ? shifts[3 * b + 1] : 0;
      const bool flip = shifts && shifts[3 * b + 2] != 0;
      const float m = mean[ch], s = inverse[ch], black = (0.0f - m) * s;
      const uint8_t* image = images + indices[b] * values + ch * height * width;
      float* result = out + b * values + ch * height * width;
      // Columns of the output that the crop has something for.
      const int64_t left = std::max<int64_t>(0, -dx), right = std::min(width, width - dx);
      for (int64_t y = 0; y < height; y++) {
        float* row = result + y * width;
        const int64_t source = y + dy;
        const bool inside = source >= 0 && source < height;
        const uint8_t* bytes = image + source * width + dx;
        if (inside && !flip && left == 0 && right == width) {
          for (int64_t i = 0; i < width; i++) row[i] = (static_cast<float>(bytes[i]) - m) * s;
          continue;
        }
        for (int64_t i = 0; i < width; i++) {
          // A flipped image is the mirror image of its crop.
          const int64_t column = (flip ? width - 1 - i : i) + dx;
          const bool in_row = inside && column >= 0 && column < width;
          row[i] = in_row ? (static_cast<float>(image[source * width + column]) - m) * s : black;
        }
      }
    }
}

}  // namespace

const Kernels kernels = {
#define NAME_OF(isa) #isa
#define NAME(isa) NAME_OF(isa)
    NAME(GLISTEN_ISA), spectrum,           conv3x3,       conv3x3_transform, conv3x3_multiply,   conv3x3_weight,
    conv_pack, conv, conv_back, conv_patches, conv_multiply,
    norm_moments,      norm_apply,         norm_gradient_sums, norm_gradient, W,                  conv_pool,
    conv_pool_gradient, gather,
};

}  // namespace GLISTEN_ISA
}  // namespace glisten
