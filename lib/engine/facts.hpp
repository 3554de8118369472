#pragma once

#include "engine/manifest.hpp"
#include "gavel/model.hpp"

namespace gavel {

/// What generator and judge need to know of a model, without a torch header.
[[nodiscard]] const Manifest& manifest(const Model& model);
[[nodiscard]] const ProbeSpec* probe(const Model& model);

}  // namespace gavel
