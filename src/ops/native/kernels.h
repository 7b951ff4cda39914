// The arithmetic of Glisten's own operators, without libtorch: plain loops over memory, compiled once for each instruction set.
//
// Images have channels last, [N][H][W][C], unless said otherwise. A function that takes a range does that part of the work, so
// that the caller can spread ranges over threads; results do not depend on how it does.
#pragma once

#include <cstdint>

namespace glisten {

// Elements of an image or activation: 32-bit floats, or the upper halves of such (bfloat16).
enum class Element { f32, bf16 };

// A 3 x 3 convolution with padding 1 and stride 1 of images whose sides are multiples of 4.
struct Conv3x3 {
  int64_t n, height, width;
  int64_t in_channels, out_channels;  // multiples of 32
  int64_t tiles() const { return n * (height / 4) * (width / 4); }
};

// Any other convolution, by products with patches laid out as rows: [rows][side * side * in_channels].
struct Conv {
  int64_t n, height, width;
  int64_t in_channels, out_channels;  // the latter a multiple of 32; both, for the gradient of the input
  int64_t side, stride, padding;
  int64_t out_height() const { return (height + 2 * padding - side) / stride + 1; }
  int64_t out_width() const { return (width + 2 * padding - side) / stride + 1; }
  int64_t rows() const { return n * out_height() * out_width(); }
  int64_t depth() const { return side * side * in_channels; }
};

// Batch normalisation over rows [rows][channels]; channels is a multiple of 16.
struct Norm {
  int64_t rows, channels;
};

// A convolution without stride, then bias, ReLU and 2 x 2 maximum pooling; images [N][C][H][W], any sizes.
struct ConvPool {
  int64_t n, in_channels, height, width;
  int64_t out_channels, side, padding;
  int64_t conv_height() const { return height + 2 * padding - side + 1; }
  int64_t conv_width() const { return width + 2 * padding - side + 1; }
  int64_t pooled_height() const { return conv_height() / 2; }
  int64_t pooled_width() const { return conv_width() / 2; }
};

struct Kernels {
  // Winograd's F(4 x 4, 3 x 3) (Lavin and Gray, CVPR 2016). `spectrum` holds the transformed weights, 36 * in * out floats.
  // With `rotated`, those of the convolution that carries gradients back: [C][K] with kernels turned by 180 degrees.
  // Range: of out_channels / 32 panels (of the convolution that the spectrum is for).
  void (*spectrum)(const Conv3x3&, const float* weight, bool rotated, float* spectrum, int64_t from, int64_t to);
  // Range: of tiles. `x` has in_channels, `y` out_channels.
  void (*conv3x3)(const Conv3x3&, Element, const void* x, const float* spectrum, void* y, int64_t from, int64_t to);
  // The gradient of the weights, for one chunk of tiles at a time: first both sides are transformed (range: of the chunk's
  // tiles), then multiplied into `gradient_spectrum`, 36 * in * out floats (range: of 0..36), and at last turned into
  // [K][C][3][3] (range: of out_channels).
  void (*conv3x3_transform)(const Conv3x3&, Element, const void* x, const void* dy, int64_t first_tile, int64_t n_tiles,
                            float* x_tiles, float* dy_tiles, int64_t from, int64_t to);
  void (*conv3x3_multiply)(const Conv3x3&, int64_t n_tiles, const float* x_tiles, const float* dy_tiles, bool add,
                           float* gradient_spectrum, int64_t from, int64_t to);
  void (*conv3x3_weight)(const Conv3x3&, const float* gradient_spectrum, float* dw, int64_t from, int64_t to);

  // Weights in the order of products: `packed` holds as many floats. Range: of out_channels / 32 panels, or with `back`, for
  // conv_back, of depth / 32.
  void (*conv_pack)(const Conv&, const float* weight, bool back, float* packed, int64_t from, int64_t to);
  // Range: of rows.
  void (*conv)(const Conv&, Element, const void* x, const float* packed, void* y, int64_t from, int64_t to);
  // The gradient of the input. Range: of images.
  void (*conv_back)(const Conv&, Element, const void* dy, const float* packed, void* dx, int64_t from, int64_t to);
  // The gradient of the weights, for one chunk of rows at a time: first its patches and the gradient of the output as floats
  // (range: of the chunk's rows), then their product, added to `sums`, [depth][out_channels] (range: of depth).
  void (*conv_patches)(const Conv&, Element, const void* x, const void* dy, int64_t first_row, float* patches, float* gradient,
                       int64_t from, int64_t to);
  void (*conv_multiply)(const Conv&, int64_t n_rows, const float* patches, const float* gradient, bool add, float* sums,
                        int64_t from, int64_t to);

  // Sums for each channel of each chunk of NORM_CHUNK rows (range: of chunks): `moments` is [chunks][3][channels], a centre c
  // and the sums of x - c and (x - c)^2.
  void (*norm_moments)(const Norm&, Element, const void* x, float* moments, int64_t from, int64_t to);
  // y = x * scale + shift, plus `beside` if given, negative values to 0 with `relu`. Range: of rows.
  void (*norm_apply)(const Norm&, Element, const void* x, const float* scale, const float* shift, const void* beside,
                     bool relu, void* y, int64_t from, int64_t to);
  // With dz = dy where y > 0 (everywhere if y is null): sums of dz and of dz * (x - mean) for each channel of each chunk:
  // [chunks][2][channels]. Range: of chunks.
  void (*norm_gradient_sums)(const Norm&, Element, const void* x, const void* y, const void* dy, const float* mean,
                             float* sums, int64_t from, int64_t to);
  // dx = a * dz + b * x + c, and dz itself if `dz` is given. Range: of rows.
  void (*norm_gradient)(const Norm&, Element, const void* x, const void* y, const void* dy, const float* a, const float* b,
                        const float* c, void* dx, void* dz, int64_t from, int64_t to);

  // How many images a block has; blocks are numbered from 0 to (n - 1) / block.
  int64_t block;
  // Range: of blocks. `y` is [N][K][PH][PW]; `chosen` is [blocks][K][PH][PW][block], which of the four was the highest, or 4
  // where none is above 0.
  void (*conv_pool)(const ConvPool&, const float* x, const float* weight, const float* bias, float* y, uint8_t* chosen,
                    int64_t from, int64_t to);
  // Range: of blocks, whose sums are added into `sums`, [K * C * side * side + K][block] floats, zeroed by the caller. `dx`
  // may be null.
  void (*conv_pool_gradient)(const ConvPool&, const float* x, const float* weight, const uint8_t* chosen, const float* dy,
                             float* dx, float* sums, int64_t from, int64_t to);

  // u8 [N][C][H][W] at indices, cropped, flipped and normalised, to floats [B][C][H][W]. `shifts`, [B][3], may be null.
  // Range: of the batch.
  void (*gather)(const uint8_t* images, int64_t channels, int64_t height, int64_t width, const int64_t* indices,
                 const int64_t* shifts, const float* mean, const float* inverse, float* out, int64_t from, int64_t to);
};

constexpr int64_t NORM_CHUNK = 256;

namespace base { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }

}  // namespace glisten
