/* Gavel in C: a team of small language models that writes N programs for a task and picks the best.

   Conventions

   1. Names. gavel_<thing>_<verb>. Outputs come first and are named `out`; callbacks end in `void* payload`.

   2. Errors. Every call that can fail returns a gavel_status; 0 is success. gavel_last_error() is then a message that
      says what, where, and what to do. It belongs to the calling thread; success does not clear it. No exception,
      abort, exit or output ever leaves the library. After any failure, out of memory included, every object that was
      passed in is still usable.

   3. Ownership. What a _create, _open or other call hands out through a handle (`gavel_x** out`) is yours until you
      give it to gavel_x_destroy; destroying NULL is allowed. On failure the handle is NULL. Plain memory handed out
      through `char** out`, `int32_t** out` or `float** out` is yours until gavel_free. Whatever you pass in is copied
      before the call returns, except a callback's payload, which must live as long as the object that holds it.
      A child keeps its parent alive: a model may be destroyed while its generators, judges and rankers live on.

   4. Borrowed pointers. A `const char*`, gavel_text or array that you receive without owning it says "valid until".

   5. Nulls. A pointer must not be NULL unless its comment says what NULL means. NULL options mean the defaults. NULL
      is a fine array where its count is 0, and a fine text where its size is 0.

   6. Text is UTF-8. Prompts and code travel as gavel_text, pointer and size in bytes, and may hold NUL. Paths and short
      names are NUL-terminated. Every text handed out has a NUL behind its last byte that its size does not count.

   7. Booleans are int32_t, 0 or not 0. Enumerations inside structs are int32_t, so that a wrong value is an error
      rather than undefined. A number that may be absent is a double, and NaN means that it is absent.

   8. Sized structs. A struct that begins with `size` may grow at its end. Those you fill are made by their _init, which
      sets the defaults: gavel_task_init(&task, sizeof task). For those the library fills, set `size` and nothing else:
      info.size = sizeof info. A field you set that an older library does not know is refused (unsupported), never
      ignored. Arrays of sized structs are arrays of pointers. Structs without `size` (gavel_text, gavel_verdict) never
      change.

   9. Threads. gavel_model and gavel_tokenizer are immutable: any number of threads may use one. Of every other object
      one call at a time, from any thread; gavel_cancel_trigger alone may be called at any time. Callbacks run on the
      thread that made the call, and must not use the object the call was made on.

  10. Versions. gavel_version_number() of the library with the same major number as GAVEL_VERSION_NUMBER, and not
  smaller, can serve this header; while the major number is 0, the minor number has to be the same too. */
#ifndef GAVEL_H
#define GAVEL_H

#include <stddef.h>
#include <stdint.h>

#include "gavel/version.hpp" /* GAVEL_VERSION and its numbers; macros only, plain C */

#define GAVEL_VERSION_NUMBER (GAVEL_VERSION_MAJOR * 10000 + GAVEL_VERSION_MINOR * 100 + GAVEL_VERSION_PATCH)

#if defined(__GNUC__)
#define GAVEL_API __attribute__((visibility("default")))
#else
#define GAVEL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version, errors, memory ------------------------------------------------------------------------------------ */

/* The values never change. */
typedef enum gavel_status {
  GAVEL_OK = 0,
  GAVEL_INVALID_ARGUMENT = 1, /* the caller's input: an option, a text, a call out of order */
  GAVEL_NOT_FOUND = 2,        /* a file, a tensor, a prompt or a device that is not there */
  GAVEL_CORRUPT_BUNDLE = 3,   /* a bundle that contradicts its manifest or itself */
  GAVEL_UNSUPPORTED = 4,      /* well-formed, but not something this build can do */
  GAVEL_OUT_OF_MEMORY = 5,    /* an allocation that failed; the object stays usable */
  GAVEL_CANCELLED = 6,        /* a gavel_cancel, its deadline or a stream callback ended the call */
  GAVEL_DEVICE = 7,           /* the accelerator is missing or failed */
  GAVEL_INTERNAL = 8,         /* a defect in Gavel or its libraries */
  GAVEL_IO = 9                /* reading or writing failed (full disk, rights) */
} gavel_status;

/* The library's version, such as "0.1.0" and 100; static. */
GAVEL_API const char* gavel_version(void);
GAVEL_API int32_t gavel_version_number(void);

/* "ok", "invalid_argument" and so on, "unknown" for any other number; static. */
GAVEL_API const char* gavel_status_name(int32_t status);

/* Why the last failed call on this thread failed; "" where none has. Valid until the next failing call on this thread.
   Longer messages are cut at 2047 bytes, between characters. */
GAVEL_API const char* gavel_last_error(void);

/* Sets the message of this thread: for a judge's callback that is about to return a status other than GAVEL_OK. */
GAVEL_API void gavel_set_last_error(const char* message);

/* Releases plain memory (convention 3). NULL is allowed. */
GAVEL_API void gavel_free(void* memory);

/* Bytes that are UTF-8 text. The layout never changes. */
typedef struct gavel_text {
  const char* data;
  size_t size;
} gavel_text;

/* ---- Cancelling long calls -------------------------------------------------------------------------------------- */

/* What may end a long call early, with GAVEL_CANCELLED: a trigger from any thread, or a deadline. Checked before every
   step, also inside a prefill. NULL as a `cancel` argument means that the call cannot be cancelled. */
typedef struct gavel_cancel gavel_cancel;

GAVEL_API gavel_status gavel_cancel_create(gavel_cancel** out);
GAVEL_API void gavel_cancel_destroy(gavel_cancel* cancel);

/* Ends the calls under way with this handle, and every later one. */
GAVEL_API gavel_status gavel_cancel_trigger(gavel_cancel* cancel);

/* Calls begun from now on end `seconds` from now; 0 or more, or NaN for no deadline. */
GAVEL_API gavel_status gavel_cancel_set_deadline(gavel_cancel* cancel, double seconds);

/* Whether it was triggered or its deadline has passed: for a judge's callback that takes its time. */
GAVEL_API gavel_status gavel_cancel_is_due(int32_t* out, const gavel_cancel* cancel);

/* ---- Model: an opened bundle ------------------------------------------------------------------------------------ */

typedef struct gavel_model gavel_model;

typedef struct gavel_open_options {
  size_t size;
  const char* device;     /* "cpu" (the default), "cuda" or "cuda:N" */
  const char* pin;        /* expected digest of the model, 64 hex digits; NULL or "" for none */
  int32_t verify_weights; /* hash the weights too (seconds); program and tokenizer are always hashed. 0 */
  int32_t self_test;      /* run the bundle's self-test and fail closed with GAVEL_CORRUPT_BUNDLE. 0 */
} gavel_open_options;

GAVEL_API gavel_status gavel_open_options_init(gavel_open_options* out, size_t size);

/* Opens the bundle folder `path`. A bundle's program is code and is trusted like a shared library. An adapter's folder,
   BUNDLE/adapters/NAME, opens its bundle and adapts it. */
GAVEL_API gavel_status gavel_model_open(gavel_model** out, const char* path, const gavel_open_options* options);

/* A model with a LoRA adapter of its bundle's, by name, or of a folder elsewhere, as a path with a separator in it. A
   handle of its own, which shares the base's weights and keeps them alive; its judge is the adapter's. */
GAVEL_API gavel_status gavel_model_adapt(gavel_model** out, const gavel_model* base, const char* name_or_folder);
GAVEL_API void gavel_model_destroy(gavel_model* model);

/* What a bundle says of itself. Texts are valid until the model is destroyed. */
typedef struct gavel_model_info {
  size_t size;
  gavel_text name;             /* the bundle's; BUNDLE+ADAPTER where adapted */
  gavel_text digest;           /* SHA-256 of gavel.json, or adapter.json where adapted, hex */
  gavel_text tokenizer_digest; /* SHA-256 of the tokenizer file, hex */
  gavel_text device;           /* "cpu" or "cuda:N" */
  gavel_text manifest_json;    /* gavel.json; where adapted, with adapter.json's parts in it */
  int32_t context;             /* longest prompt plus candidate, in tokens */
  int32_t has_probe;
  const gavel_text* adapters; /* names of those the bundle held when it was opened, sorted */
  size_t adapter_count;
} gavel_model_info;

GAVEL_API gavel_status gavel_model_get_info(gavel_model_info* out, const gavel_model* model);

/* Memory in bytes; total is the sum of the others. */
typedef struct gavel_memory_estimate {
  size_t size;
  uint64_t weights; /* mapped or resident weights */
  uint64_t prefix;  /* keys and values of the shared prompt */
  uint64_t own;     /* keys and values of all candidates */
  uint64_t scratch; /* the largest step's activations and logits */
  uint64_t total;
} gavel_memory_estimate;

/* What `candidates` continuations of up to `max_tokens` after a prompt of `prompt_tokens` will take. */
GAVEL_API gavel_status gavel_model_estimate(gavel_memory_estimate* out, const gavel_model* model, int64_t prompt_tokens,
                                            int64_t candidates, int64_t max_tokens);

/* Runs the bundle's self-test; GAVEL_CORRUPT_BUNDLE names the prompt and the largest difference. */
GAVEL_API gavel_status gavel_model_self_test(const gavel_model* model);

/* ---- Tokenizer -------------------------------------------------------------------------------------------------- */

typedef struct gavel_tokenizer gavel_tokenizer;

/* Opens a tokenizer.json or a tokenizer.model, chosen by the file's name. */
GAVEL_API gavel_status gavel_tokenizer_open(gavel_tokenizer** out, const char* path);

/* The tokenizer of a model; a handle of its own, which keeps the tokenizer alive. */
GAVEL_API gavel_status gavel_model_get_tokenizer(gavel_tokenizer** out, const gavel_model* model);
GAVEL_API void gavel_tokenizer_destroy(gavel_tokenizer* tokenizer);

/* Text to ids, without BOS or EOS. With `special` 0 no text can become a special token; otherwise added special tokens
   written in the text are recognised. *out is NULL where there are no ids; else gavel_free. */
GAVEL_API gavel_status gavel_tokenizer_encode(int32_t** out, size_t* out_count, const gavel_tokenizer* tokenizer,
                                              gavel_text text, int32_t special);

/* Ids to text. Special tokens are left out unless `special`. Bytes that are no UTF-8 come out as U+FFFD. gavel_free. */
GAVEL_API gavel_status gavel_tokenizer_decode(char** out, size_t* out_size, const gavel_tokenizer* tokenizer,
                                              const int32_t* ids, size_t count, int32_t special);

/* The raw bytes one token stands for, empty for special tokens. Valid until the tokenizer is destroyed. These bytes
   may be part of a character, and no NUL is promised behind them. */
GAVEL_API gavel_status gavel_tokenizer_bytes(gavel_text* out, const gavel_tokenizer* tokenizer, int32_t id);

/* Number of ids, added tokens included. */
GAVEL_API gavel_status gavel_tokenizer_size(int32_t* out, const gavel_tokenizer* tokenizer);

/* The id of a token by its exact written form, such as "<|im_end|>"; -1 where there is none. */
GAVEL_API gavel_status gavel_tokenizer_id(int32_t* out, const gavel_tokenizer* tokenizer, gavel_text token);

/* ---- Tasks and candidates --------------------------------------------------------------------------------------- */

typedef enum gavel_language { GAVEL_ANY = 0, GAVEL_JAVA = 1, GAVEL_PYTHON = 2, GAVEL_CPP = 3 } gavel_language;

typedef enum gavel_prompting {
  GAVEL_COMPLETION = 0, /* the prompt is the beginning of a program; the model continues it */
  GAVEL_CHAT = 1        /* the prompt is an instruction; the answer's first code block is the candidate */
} gavel_prompting;

typedef struct gavel_task {
  size_t size;
  gavel_text prompt; /* code prefix or instruction; never empty */
  int32_t language;  /* a gavel_language, GAVEL_ANY; chooses stop rules and the chat wording */
  int32_t prompting; /* a gavel_prompting, GAVEL_COMPLETION */
  gavel_text id;     /* the caller's own name for it; may be empty */
} gavel_task;

GAVEL_API gavel_status gavel_task_init(gavel_task* out, size_t size);

typedef enum gavel_finish {
  GAVEL_FINISH_STOP_TOKEN = 0,      /* the model ended its turn */
  GAVEL_FINISH_STOP_STRING = 1,     /* a stop string of the caller's or the language's appeared */
  GAVEL_FINISH_LENGTH = 2,          /* max_tokens or the context was reached */
  GAVEL_FINISH_GIVEN = 3,           /* not generated here: the caller brought the candidate */
  GAVEL_FINISH_STOPPED_BY_PROBE = 4 /* stop_below: an early probe held it for wrong; the text is unfinished */
} gavel_finish;

/* One proposed solution: read from a gavel_candidates or a gavel_ranking, or brought along by the caller, who needs to
   set no more than `text`. */
typedef struct gavel_candidate {
  size_t size;
  gavel_text text;       /* the code: a completion of the prompt, or a whole answer's code block */
  gavel_text raw;        /* all the model wrote, before code extraction and stop trimming */
  const int32_t* tokens; /* sampled tokens, the stop token left out; none when given as text */
  size_t token_count;
  const float* logprobs; /* natural log-probability of each token under the untempered model */
  size_t logprob_count;
  int32_t finish;       /* a gavel_finish, GAVEL_FINISH_GIVEN */
  int32_t index;        /* its number within the task, set when generated or added */
  double p_correct;     /* the generator's own probe, where its bundle has one; else NaN */
  double probe_logit;   /* the same before calibration, or NaN */
  gavel_text tokenizer; /* SHA-256 of the tokenizer file that the tokens belong to; none when given as text */
} gavel_candidate;

GAVEL_API gavel_status gavel_candidate_init(gavel_candidate* out, size_t size);

/* The candidates of one task, in order of their index. */
typedef struct gavel_candidates gavel_candidates;

/* An empty list, to add candidates from elsewhere to. Adding copies; the first added is number 0. */
GAVEL_API gavel_status gavel_candidates_create(gavel_candidates** out);
GAVEL_API void gavel_candidates_destroy(gavel_candidates* candidates);
GAVEL_API gavel_status gavel_candidates_add(gavel_candidates* candidates, const gavel_candidate* candidate);
GAVEL_API gavel_status gavel_candidates_add_text(gavel_candidates* candidates, gavel_text text);

GAVEL_API gavel_status gavel_candidates_count(size_t* out, const gavel_candidates* candidates);

/* Texts and arrays are valid until the list is destroyed or added to. */
GAVEL_API gavel_status gavel_candidates_get(gavel_candidate* out, const gavel_candidates* candidates, size_t index);

/* The tokens of the prompt they were generated from; none for a list of the caller's. Valid until the list is
   destroyed. */
GAVEL_API gavel_status gavel_candidates_get_prompt_tokens(const int32_t** out, size_t* out_count,
                                                          const gavel_candidates* candidates);

/* For each candidate the index of the first one that is the same but for layout and comments, itself where it is the
   first: `count` numbers, as many as there are candidates, into the caller's array. */
GAVEL_API gavel_status gavel_candidates_get_representatives(size_t* out, size_t count,
                                                            const gavel_candidates* candidates, int32_t language);

/* Times and counts of one generation; seconds and tokens. */
typedef struct gavel_generate_stats {
  size_t size;
  double prefill_seconds;
  double decode_seconds;
  double sample_seconds;
  int64_t prompt_tokens;
  int64_t sampled_tokens;
  int64_t steps;
  int64_t stopped; /* candidates that the probe ended (GAVEL_FINISH_STOPPED_BY_PROBE) */
} gavel_generate_stats;

/* Zeros for a list of the caller's. */
GAVEL_API gavel_status gavel_candidates_get_stats(gavel_generate_stats* out, const gavel_candidates* candidates);

/* ---- Generator: writes candidates ------------------------------------------------------------------------------- */

typedef struct gavel_generator gavel_generator;

GAVEL_API gavel_status gavel_generator_create(gavel_generator** out, const gavel_model* model);
GAVEL_API void gavel_generator_destroy(gavel_generator* generator);

/* Filters apply in the order penalties, temperature, top_k, top_p, min_p. In brackets the default. */
typedef struct gavel_generate_options {
  size_t size;
  int32_t candidates;       /* 1 to 1024 [10] */
  int32_t max_tokens;       /* per candidate; > 0 [256] */
  float temperature;        /* > 0; 0 means greedy [0.8] */
  int32_t top_k;            /* keep the k most likely tokens; 0 keeps all [0] */
  float top_p;              /* keep the smallest set with this probability mass, in (0, 1] [0.95] */
  float min_p;              /* drop tokens below min_p times the likeliest one's probability, in [0, 1) [0] */
  float repetition_penalty; /* > 0, on tokens seen in prompt or candidate; 1 is off [1] */
  float presence_penalty;   /* subtracted once for tokens already in the candidate, in [-2, 2] [0] */
  uint64_t seed;            /* candidate i depends on (seed, i), never on how many there are [0] */
  const gavel_text* stop;   /* further stop strings; the text ends before the first that appears [none] */
  size_t stop_count;
  const int32_t* stop_tokens; /* further stop tokens, beside the bundle's own [none] */
  size_t stop_token_count;
  int32_t language_stops; /* end a completion with its function, closing the types around it [1] */
  int32_t probe;          /* fill p_correct where the bundle has a probe [1] */
  double stop_below;      /* stop a candidate once an early probe of the bundle gives it less than this probability of
                             being correct, in [0, 1]; unsupported where the bundle has none; 0 never does [0] */
} gavel_generate_options;

GAVEL_API gavel_status gavel_generate_options_init(gavel_generate_options* out, size_t size);

/* One piece of a candidate while it is written. Everything is valid during the callback only. */
typedef struct gavel_stream_event {
  size_t size;
  size_t task; /* index into the tasks of the call */
  int32_t candidate;
  int32_t token;    /* -1 where the event carries no token */
  gavel_text text;  /* never ends within a character; may be empty; no NUL behind it */
  int32_t finished; /* the candidate's last event */
} gavel_stream_event;

/* Called in order of decode steps. Returns 0 to go on; anything else ends the call with GAVEL_CANCELLED. */
typedef int32_t (*gavel_stream_fn)(const gavel_stream_event* event, void* payload);

/* Candidates of one task from one prefill. `stream` and `cancel` may be NULL. */
GAVEL_API gavel_status gavel_generator_generate(gavel_candidates** out, gavel_generator* generator,
                                                const gavel_task* task, const gavel_generate_options* options,
                                                const gavel_cancel* cancel, gavel_stream_fn stream, void* payload);

/* Many tasks in one call. `out` is the caller's array of `count` handles, one per task in order; all or none are set.
 */
GAVEL_API gavel_status gavel_generator_generate_many(gavel_candidates** out, gavel_generator* generator,
                                                     const gavel_task* const* tasks, size_t count,
                                                     const gavel_generate_options* options, const gavel_cancel* cancel,
                                                     gavel_stream_fn stream, void* payload);

/* ---- Judge: says how likely a candidate is correct -------------------------------------------------------------- */

typedef struct gavel_judge gavel_judge;

typedef enum gavel_judge_kind {
  GAVEL_JUDGE_AUTOMATIC = 0,  /* the bundle's probe where it has one, else its classifier, else its verbalizer */
  GAVEL_JUDGE_VERBALIZER = 1, /* the model is asked; two vocabulary rows answer */
  GAVEL_JUDGE_CLASSIFIER = 2, /* a head on a decoder's last state or an encoder's; also a reward head */
  GAVEL_JUDGE_PROBE = 3       /* a logistic regression on pooled hidden states of the candidate's tokens */
} gavel_judge_kind;

typedef struct gavel_judge_options {
  size_t size;
  int32_t kind;            /* a gavel_judge_kind, GAVEL_JUDGE_AUTOMATIC */
  double threshold;        /* in [0, 1]; NaN: the bundle's own */
  double abstain_band;     /* |p_correct - threshold| below it abstains; NaN: the bundle's own */
  int32_t feedback_tokens; /* longest feedback to write about each candidate, for gavel_judge_explain; 0 writes none,
                              and a judge that can write none is refused (unsupported) otherwise. 0 */
  double precision;        /* in (0, 1], takes the threshold of gavel_judge_at_precision; refused (unsupported) where
                              there is none, and (invalid argument) beside a threshold; NaN: none is asked for */
} gavel_judge_options;

GAVEL_API gavel_status gavel_judge_options_init(gavel_judge_options* out, size_t size);

GAVEL_API gavel_status gavel_judge_create(gavel_judge** out, const gavel_model* model,
                                          const gavel_judge_options* options);
GAVEL_API void gavel_judge_destroy(gavel_judge* judge);

/* What a verdict's reader must know of the judge behind it. Texts are valid until the judge, or the ranking they were
   read from, is destroyed. */
typedef struct gavel_judge_info {
  size_t size;
  gavel_text name;          /* names the judge in records and tables */
  gavel_text kind;          /* "verbalizer", "classifier", "probe" or the user's own word */
  int32_t trained;          /* 0: a model asked zero-shot; whatever shows its verdicts says so */
  gavel_text digest;        /* SHA-256 of the bundle's manifest, or empty */
  const gavel_text* labels; /* what class probabilities are of; a verbalizer's are "correct" and "wrong" */
  size_t label_count;       /* 0 for probes and for judges that know no classes */
} gavel_judge_info;

GAVEL_API gavel_status gavel_judge_info_init(gavel_judge_info* out, size_t size);
GAVEL_API gavel_status gavel_judge_get_info(gavel_judge_info* out, const gavel_judge* judge);

/* A threshold on P(correct), and what it was worth on the judge's validation candidates. */
typedef struct gavel_operating_point {
  size_t size;
  double threshold;     /* candidates at or above it are selected; NaN where no threshold has the precision asked for */
  double precision;     /* share of the selected ones that are correct */
  double precision_low; /* lower end of its 95 % interval (Wilson) */
  double coverage;      /* share of all that are selected */
  int64_t selected;     /* validation candidates that `precision` is of */
  int64_t candidates;   /* validation candidates in all */
} gavel_operating_point;

/* A point of threshold NaN, with nothing else. */
GAVEL_API gavel_status gavel_operating_point_init(gavel_operating_point* out, size_t size);

/* The threshold of most coverage that had this precision, in (0, 1], on the validation candidates. Unsupported where
   the bundle stores no validation of this judge. */
GAVEL_API gavel_status gavel_judge_at_precision(gavel_operating_point* out, const gavel_judge* judge, double precision);

typedef enum gavel_decision { GAVEL_CORRECT = 0, GAVEL_WRONG = 1, GAVEL_ABSTAIN = 2 } gavel_decision;

/* A judge's word on one candidate. The layout never changes. */
typedef struct gavel_verdict {
  double p_correct; /* calibrated probability, in [0, 1] */
  double logit;     /* log-odds before calibration; NaN from judges that know no logits */
  int32_t decision; /* a gavel_decision: p_correct against the judge's threshold and abstention band */
  int32_t reserved; /* 0 */
} gavel_verdict;

/* One verdict per candidate, in order, into the caller's array of `count`, as many as there are candidates.
   `cancel` may be NULL. */
GAVEL_API gavel_status gavel_judge_judge(gavel_verdict* out, size_t count, gavel_judge* judge, const gavel_task* task,
                                         const gavel_candidates* candidates, const gavel_cancel* cancel);

/* All that a judge says of one candidate. */
typedef struct gavel_explanation {
  size_t size;
  gavel_verdict verdict;
  const double* probabilities; /* before calibration, one per label of the judge, in their order: a classifier's softmax
                                  (of one label, a reward head, its sigmoid), a verbalizer's two answers; else none */
  size_t probability_count;
  gavel_text feedback; /* what the judge wrote about the candidate, where it was asked to */
  int64_t truncated;   /* tokens of task and candidate that an encoder had no room for; its bundle says whether the end
                          of the task or of the whole is left out */
} gavel_explanation;

/* An explanation that abstains, with nothing else. */
GAVEL_API gavel_status gavel_explanation_init(gavel_explanation* out, size_t size);

/* Explanations of the candidates of one call, in their order. */
typedef struct gavel_verdicts gavel_verdicts;

/* Like gavel_judge_judge, with class probabilities, and feedback where the judge's options ask for it. */
GAVEL_API gavel_status gavel_judge_explain(gavel_verdicts** out, gavel_judge* judge, const gavel_task* task,
                                           const gavel_candidates* candidates, const gavel_cancel* cancel);
GAVEL_API void gavel_verdicts_destroy(gavel_verdicts* verdicts);
GAVEL_API gavel_status gavel_verdicts_count(size_t* out, const gavel_verdicts* verdicts);

/* Texts and arrays are valid until the verdicts are destroyed, or this one is set. */
GAVEL_API gavel_status gavel_verdicts_get(gavel_explanation* out, const gavel_verdicts* verdicts, size_t index);

/* For a judge of the user's own that explains. Copies; a p_correct outside [0, 1] is refused. */
GAVEL_API gavel_status gavel_verdicts_set(gavel_verdicts* verdicts, size_t index, const gavel_explanation* explanation);

/* Mean-pooled hidden states of the candidates' tokens in the generation context, for fitting a probe: floats
   [candidates][layers][hidden], after the named layers (0 is the embedding's output, L the last layer's). The hidden
   size goes to *out_hidden. `cancel` may be NULL. gavel_free. */
GAVEL_API gavel_status gavel_tap(float** out, size_t* out_hidden, const gavel_model* model, const gavel_task* task,
                                 const gavel_candidates* candidates, const int32_t* layers, size_t layer_count,
                                 const gavel_cancel* cancel);

/* The same of every token, for probes that pool otherwise: floats [tokens][layers][hidden], candidate after candidate.
   How many tokens each candidate has goes into the caller's array of `count`, as many as there are candidates. */
GAVEL_API gavel_status gavel_tap_tokens(float** out, size_t* out_hidden, size_t* out_tokens, size_t count,
                                        const gavel_model* model, const gavel_task* task,
                                        const gavel_candidates* candidates, const int32_t* layers, size_t layer_count,
                                        const gavel_cancel* cancel);

/* ---- Ranker: a team --------------------------------------------------------------------------------------------- */

typedef enum gavel_aggregation {
  GAVEL_MEAN_PROBABILITY = 0, /* weighted mean of p_correct */
  GAVEL_MEAN_LOGIT = 1,       /* sigmoid of the weighted mean of calibrated log-odds */
  GAVEL_VOTE = 2,             /* weighted share of judges that decide "correct"; an abstention counts half */
  GAVEL_MINIMUM = 3,          /* the most sceptical judge */
  GAVEL_MAXIMUM = 4,          /* the most trusting judge */
  GAVEL_STACKED = 5           /* sigmoid(bias + sum of weight * log-odds before calibration
                                 + logprob_weight * (mean log-probability - logprob_mean)) */
} gavel_aggregation;

typedef struct gavel_rank_options {
  size_t size;
  int32_t aggregation;   /* a gavel_aggregation, GAVEL_MEAN_PROBABILITY */
  const double* weights; /* one per judge, or none for equal ones; GAVEL_STACKED needs them */
  size_t weight_count;
  double bias;           /* this and the next two of GAVEL_STACKED alone. 0 */
  double logprob_weight; /* of the generator's mean log-probability per token; 0 or more. 0 */
  double logprob_mean;   /* what a candidate without log-probabilities counts as having. 0 */
} gavel_rank_options;

GAVEL_API gavel_status gavel_rank_options_init(gavel_rank_options* out, size_t size);

typedef struct gavel_ranker gavel_ranker;

/* A team whose generator, one of its own, runs on `model`; NULL for a team that ranks candidates from elsewhere.
   Without judges the candidates' mean log-probability decides. */
GAVEL_API gavel_status gavel_ranker_create(gavel_ranker** out, const gavel_model* model);

/* The team of a team file, as `gavel team fit` writes it: a generator (or none), judges, and weights fitted on labelled
   candidates. Models on one base bundle share it. `options` are each model's, but for `pin`: the SHA-256 of the team
   file, and with it of all that it names. GAVEL_CORRUPT_BUNDLE where a bundle is not the one of the fit. */
GAVEL_API gavel_status gavel_ranker_open(gavel_ranker** out, const char* path, const gavel_open_options* options);
GAVEL_API void gavel_ranker_destroy(gavel_ranker* ranker);

/* How the team ranks where it is given no options: as its file says, or else the defaults. The weights are valid until
   the ranker is destroyed or given a judge. */
GAVEL_API gavel_status gavel_ranker_get_options(gavel_rank_options* out, const gavel_ranker* ranker);

/* The generator's model, a handle of its own; NULL where there is no generator. */
GAVEL_API gavel_status gavel_ranker_get_model(gavel_model** out, const gavel_ranker* ranker);

/* The team's judges, in their order. Texts are valid until the ranker is destroyed. */
GAVEL_API gavel_status gavel_ranker_count_judges(size_t* out, const gavel_ranker* ranker);
GAVEL_API gavel_status gavel_ranker_get_judge(gavel_judge_info* out, const gavel_ranker* ranker, size_t judge);

/* Adds a judge, which the ranker then shares: the handle may be destroyed, but while the ranker works the judge must
   not be used elsewhere. In an opened team it has weight 1: a p_correct of 0.5 says nothing, one of 0 puts a candidate
   last. */
GAVEL_API gavel_status gavel_ranker_add_judge(gavel_ranker* ranker, const gavel_judge* judge);

/* A judge of the user's own (a compiler, a test runner, a remote model): fills one verdict per candidate and returns
   GAVEL_OK, or another status to end the call with it and the message of gavel_set_last_error. The verdicts come in as
   NaN, NaN, GAVEL_ABSTAIN; a p_correct outside [0, 1] is refused. `cancel` is for gavel_cancel_is_due. Everything is
   valid during the callback only. */
typedef int32_t (*gavel_judge_fn)(gavel_verdict* out, size_t count, const gavel_task* task,
                                  const gavel_candidates* candidates, const gavel_cancel* cancel, void* payload);

/* Adds a judge of the user's own under the name, kind and training `info` gives; its payload lives as long as the
   ranker. */
GAVEL_API gavel_status gavel_ranker_add_callback_judge(gavel_ranker* ranker, const gavel_judge_info* info,
                                                       gavel_judge_fn judge, void* payload);

/* The same of a judge that explains: it sets every verdict, which come in abstaining, with a p_correct that is refused.
 */
typedef int32_t (*gavel_explain_fn)(gavel_verdicts* out, const gavel_task* task, const gavel_candidates* candidates,
                                    const gavel_cancel* cancel, void* payload);

GAVEL_API gavel_status gavel_ranker_add_explaining_judge(gavel_ranker* ranker, const gavel_judge_info* info,
                                                         gavel_explain_fn judge, void* payload);

/* The evidence for a ranking: enough to replay and to explain it. */
typedef struct gavel_ranking gavel_ranking;

/* Judges and orders given candidates; same ones are judged once. Best first: by score, ties by mean log-probability,
   then by order. NULL options mean the team's own; `cancel` may be NULL. */
GAVEL_API gavel_status gavel_ranker_rank(gavel_ranking** out, gavel_ranker* ranker, const gavel_task* task,
                                         const gavel_candidates* candidates, const gavel_rank_options* options,
                                         const gavel_cancel* cancel);

/* Generates, judges and ranks. NULL for `rank` means the team's own options; `cancel` and `stream` may be NULL. */
GAVEL_API gavel_status gavel_ranker_solve(gavel_ranking** out, gavel_ranker* ranker, const gavel_task* task,
                                          const gavel_generate_options* generate, const gavel_rank_options* rank,
                                          const gavel_cancel* cancel, gavel_stream_fn stream, void* payload);

GAVEL_API void gavel_ranking_destroy(gavel_ranking* ranking);

/* Texts are valid until the ranking is destroyed. */
typedef struct gavel_ranking_info {
  size_t size;
  size_t count;                /* candidates, one or more */
  size_t judge_count;          /* judges, in the order they were added */
  gavel_text reason;           /* why the best is best, in one sentence */
  gavel_text generator_digest; /* empty where candidates were given */
} gavel_ranking_info;

GAVEL_API gavel_status gavel_ranking_get_info(gavel_ranking_info* out, const gavel_ranking* ranking);

/* The candidate at a place; place 0 is the best. Texts and arrays are valid until the ranking is destroyed. */
GAVEL_API gavel_status gavel_ranking_get_candidate(gavel_candidate* out, const gavel_ranking* ranking, size_t place);

/* What was said of the candidate at a place. The verdicts are valid until the ranking is destroyed. */
typedef struct gavel_ranked {
  size_t size;
  double score;                  /* the aggregated P(correct) */
  const gavel_verdict* verdicts; /* one per judge, in their order */
  size_t verdict_count;
  size_t multiplicity;   /* how many candidates were the same as this one, itself included */
  size_t representative; /* index of the first candidate that is the same */
} gavel_ranked;

GAVEL_API gavel_status gavel_ranking_get_ranked(gavel_ranked* out, const gavel_ranking* ranking, size_t place);

/* All that a judge said of the candidate at a place. Texts and arrays are valid until the ranking is destroyed. */
GAVEL_API gavel_status gavel_ranking_get_explanation(gavel_explanation* out, const gavel_ranking* ranking, size_t place,
                                                     size_t judge);

/* Who judged, and how long the judge took; `out_seconds` may be NULL. */
GAVEL_API gavel_status gavel_ranking_get_judge(gavel_judge_info* out, double* out_seconds, const gavel_ranking* ranking,
                                               size_t judge);

/* Zeros where candidates were given. */
GAVEL_API gavel_status gavel_ranking_get_stats(gavel_generate_stats* out, const gavel_ranking* ranking);

/* The whole record as one JSON object. Valid until the ranking is destroyed. */
GAVEL_API gavel_status gavel_ranking_to_json(gavel_text* out, const gavel_ranking* ranking);

/* ---- Small parts ------------------------------------------------------------------------------------------------ */

/* One candidate's score from the judges' verdicts, as a ranker would aggregate them; stacked, that of a candidate
   without log-probabilities. */
GAVEL_API gavel_status gavel_aggregate(double* out, const gavel_verdict* verdicts, size_t count,
                                       const gavel_rank_options* options);

/* The code without comments and with white space reduced to what separates words. gavel_free. */
GAVEL_API gavel_status gavel_normal_form(char** out, size_t* out_size, gavel_text code, int32_t language);

#ifdef __cplusplus
}
#endif

#endif
