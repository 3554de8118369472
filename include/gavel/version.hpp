#pragma once

/// The one place the version is written; CMake, the C ABI and the Python package read it from here.
#define GAVEL_VERSION_MAJOR 0
#define GAVEL_VERSION_MINOR 1
#define GAVEL_VERSION_PATCH 0
#define GAVEL_VERSION "0.1.0"
