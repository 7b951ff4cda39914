// Gathering a batch of images. Part of kernels.cpp.
#pragma once

#include "vectors.h"

namespace glisten {
namespace GLISTEN_ISA {
namespace {

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
}  // namespace GLISTEN_ISA
}  // namespace glisten
