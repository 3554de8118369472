#pragma once

/// Gavel: a team of small language models that writes ten programs and picks the best.
/// Each header is the manual page of one thing; this one brings them all.
#include "gavel/aggregation.hpp"
#include "gavel/calibration.hpp"
#include "gavel/cancel.hpp"
#include "gavel/candidate.hpp"
#include "gavel/dedup.hpp"
#include "gavel/error.hpp"
#include "gavel/generator.hpp"
#include "gavel/judge.hpp"
#include "gavel/model.hpp"
#include "gavel/operating_curve.hpp"
#include "gavel/prompt.hpp"
#include "gavel/ranker.hpp"
#include "gavel/sampling.hpp"
#include "gavel/task.hpp"
#include "gavel/tokenizer.hpp"
#include "gavel/verdict.hpp"
#include "gavel/version.hpp"
