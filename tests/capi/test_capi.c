/* The C ABI from C99: bad input without any model; with a bundle and a team file of
   two judges as arguments, the whole line on them. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gavel.h"

static int failures = 0;

static void check(int holds, const char* what, int line) {
  if (holds) return;
  ++failures;
  fprintf(stderr, "line %d: %s\n  last error: %s\n", line, what, gavel_last_error());
}

#define CHECK(condition) check((condition), #condition, __LINE__)
#define SAYS(words) CHECK(strstr(gavel_last_error(), (words)) != NULL)

static gavel_text text(const char* string) {
  gavel_text out;
  out.data = string;
  out.size = strlen(string);
  return out;
}

static int equals(gavel_text out, const char* expected) {
  return out.size == strlen(expected) && memcmp(out.data, expected, out.size) == 0;
}

static void test_version(void) {
  CHECK(strcmp(gavel_version(), GAVEL_VERSION) == 0);
  CHECK(gavel_version_number() == GAVEL_VERSION_NUMBER);
}

static void test_messages(void) {
  char* longer = malloc(4001);
  size_t i;
  CHECK(strcmp(gavel_status_name(GAVEL_OK), "ok") == 0);
  CHECK(strcmp(gavel_status_name(GAVEL_CORRUPT_BUNDLE), "corrupt_bundle") == 0);
  CHECK(strcmp(gavel_status_name(77), "unknown") == 0);
  if (longer == NULL) return;
  longer[0] = 'x';
  for (i = 1; i + 1 < 4001; i += 2) memcpy(longer + i, "\xC3\xA9", 2);
  longer[3999] = '\0';
  gavel_set_last_error(longer);
  CHECK(strlen(gavel_last_error()) == 2047);
  longer[1] = 'x'; /* characters now begin at even places, so a whole one fits only up to 2046 */
  for (i = 2; i + 1 < 4001; i += 2) memcpy(longer + i, "\xC3\xA9", 2);
  longer[4000] = '\0';
  gavel_set_last_error(longer);
  CHECK(strlen(gavel_last_error()) == 2046);
  free(longer);
  gavel_set_last_error(NULL);
  CHECK(gavel_last_error()[0] == '\0');
  gavel_free(NULL);
}

static void test_missing_bundle(void) {
  gavel_model* model = (gavel_model*)&failures;
  gavel_open_options options;
  CHECK(gavel_model_open(&model, "no/such/bundle.gavel", NULL) == GAVEL_NOT_FOUND);
  CHECK(model == NULL);
  SAYS("no/such/bundle.gavel");
  CHECK(gavel_model_open(&model, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  SAYS("path");
  CHECK(gavel_model_open(&model, "", NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_model_open(NULL, "x", NULL) == GAVEL_INVALID_ARGUMENT);
  SAYS("out");
  CHECK(gavel_open_options_init(&options, sizeof options) == GAVEL_OK);
  CHECK(strcmp(options.device, "cpu") == 0 && options.pin == NULL && options.self_test == 0);
  CHECK(gavel_model_open(&model, "no/such/bundle.gavel", &options) == GAVEL_NOT_FOUND);
}

static void test_missing_team(void) {
  gavel_ranker* ranker = (gavel_ranker*)&failures;
  CHECK(gavel_ranker_open(&ranker, "no/such.team.json", NULL) == GAVEL_NOT_FOUND && ranker == NULL);
  SAYS("no/such.team.json");
  CHECK(gavel_ranker_open(&ranker, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranker_open(NULL, "x", NULL) == GAVEL_INVALID_ARGUMENT);
}

static void test_missing_tokenizer(void) {
  gavel_tokenizer* tokenizer = NULL;
  CHECK(gavel_tokenizer_open(&tokenizer, "no/such/tokenizer.json") == GAVEL_NOT_FOUND);
  CHECK(tokenizer == NULL);
}

static void test_sizes(void) {
  /* A struct of a header to come: ours, and one field more. */
  struct {
    gavel_rank_options known;
    uint64_t newer;
  } grown;
  gavel_generate_options options;
  gavel_verdict verdict;
  double score = 0;
  CHECK(gavel_generate_options_init(&options, sizeof options) == GAVEL_OK);
  CHECK(options.size == sizeof options && options.candidates == 10 && options.max_tokens == 256);
  CHECK(options.temperature > 0.79F && options.temperature < 0.81F && options.language_stops == 1);
  CHECK(gavel_generate_options_init(&options, 4) == GAVEL_INVALID_ARGUMENT);
  SAYS("size 4");
  CHECK(gavel_generate_options_init(&options, (size_t)-1) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_generate_options_init(NULL, sizeof options) == GAVEL_INVALID_ARGUMENT);

  verdict.p_correct = 0.25;
  verdict.logit = NAN;
  verdict.decision = GAVEL_WRONG;
  verdict.reserved = 0;
  CHECK(gavel_rank_options_init(&grown.known, sizeof grown) == GAVEL_OK);
  CHECK(grown.newer == 0);
  CHECK(gavel_aggregate(&score, &verdict, 1, &grown.known) == GAVEL_OK && score == 0.25);
  grown.newer = 1;
  CHECK(gavel_aggregate(&score, &verdict, 1, &grown.known) == GAVEL_UNSUPPORTED);
  SAYS("newer");
  grown.known.size = 0;
  CHECK(gavel_aggregate(&score, &verdict, 1, &grown.known) == GAVEL_INVALID_ARGUMENT);
}

static void test_aggregate(void) {
  gavel_verdict verdicts[2] = {{0.2, NAN, GAVEL_WRONG, 0}, {0.8, NAN, GAVEL_CORRECT, 0}};
  const double weights[2] = {3, 1};
  gavel_rank_options options;
  double score = 0;
  CHECK(gavel_aggregate(&score, verdicts, 2, NULL) == GAVEL_OK && fabs(score - 0.5) < 1e-12);
  CHECK(gavel_rank_options_init(&options, sizeof options) == GAVEL_OK);
  options.weights = weights;
  options.weight_count = 2;
  CHECK(gavel_aggregate(&score, verdicts, 2, &options) == GAVEL_OK && fabs(score - 0.35) < 1e-12);
  options.weight_count = 1;
  CHECK(gavel_aggregate(&score, verdicts, 2, &options) == GAVEL_INVALID_ARGUMENT);
  options.weight_count = 0;
  options.aggregation = 99;
  CHECK(gavel_aggregate(&score, verdicts, 2, &options) == GAVEL_INVALID_ARGUMENT);
  SAYS("99");
  options.aggregation = GAVEL_STACKED;
  CHECK(gavel_aggregate(&score, verdicts, 2, &options) == GAVEL_INVALID_ARGUMENT);
  SAYS("weights");
  options.weight_count = 2;
  options.bias = 0.69314718055994531;                                /* ln 2 */
  options.logprob_weight = 2;                                        /* of no log-probability here */
  CHECK(gavel_aggregate(&score, verdicts, 2, &options) == GAVEL_OK); /* odds 2 * (1/4)^3 * 4 */
  CHECK(fabs(score - 1.0 / 9) < 1e-12);
  options.logprob_weight = -2;
  CHECK(gavel_aggregate(&score, verdicts, 2, &options) == GAVEL_INVALID_ARGUMENT);
  SAYS("logprob_weight -2");
  options.size = offsetof(gavel_rank_options, bias); /* as a header had it that knew of no stacking */
  CHECK(gavel_aggregate(&score, verdicts, 2, &options) == GAVEL_OK);
  CHECK(fabs(score - 1.0 / 17) < 1e-12);
  verdicts[0].p_correct = NAN;
  CHECK(gavel_aggregate(&score, verdicts, 2, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_aggregate(&score, NULL, 2, NULL) == GAVEL_INVALID_ARGUMENT);
}

static void test_cancel(void) {
  gavel_cancel* cancel = NULL;
  int32_t due = -1;
  CHECK(gavel_cancel_create(&cancel) == GAVEL_OK);
  CHECK(gavel_cancel_is_due(&due, cancel) == GAVEL_OK && due == 0);
  CHECK(gavel_cancel_set_deadline(cancel, -1) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_cancel_set_deadline(cancel, 1e30) == GAVEL_OK);
  CHECK(gavel_cancel_is_due(&due, cancel) == GAVEL_OK && due == 0);
  CHECK(gavel_cancel_set_deadline(cancel, 0) == GAVEL_OK);
  CHECK(gavel_cancel_is_due(&due, cancel) == GAVEL_OK && due == 1);
  CHECK(gavel_cancel_set_deadline(cancel, NAN) == GAVEL_OK);
  CHECK(gavel_cancel_is_due(&due, cancel) == GAVEL_OK && due == 0);
  CHECK(gavel_cancel_trigger(cancel) == GAVEL_OK);
  CHECK(gavel_cancel_is_due(&due, cancel) == GAVEL_OK && due == 1);
  CHECK(gavel_cancel_trigger(NULL) == GAVEL_INVALID_ARGUMENT);
  gavel_cancel_destroy(cancel);
  gavel_cancel_destroy(NULL);
}

static void test_candidates(void) {
  gavel_candidates* list = NULL;
  gavel_candidate candidate;
  const int32_t tokens[2] = {4, 5};
  size_t firsts[3] = {9, 9, 9};
  size_t count = 0;
  gavel_text broken;
  broken.data = NULL;
  broken.size = 3;
  CHECK(gavel_candidates_create(&list) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("return a+b; // sum")) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("return a + b;")) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, broken) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_candidate_init(&candidate, sizeof candidate) == GAVEL_OK);
  candidate.text = text("return a;");
  candidate.tokens = tokens;
  candidate.token_count = 2;
  candidate.finish = 7;
  CHECK(gavel_candidates_add(list, &candidate) == GAVEL_INVALID_ARGUMENT);
  candidate.finish = GAVEL_FINISH_LENGTH;
  CHECK(gavel_candidates_add(list, &candidate) == GAVEL_OK);
  CHECK(gavel_candidates_count(&count, list) == GAVEL_OK && count == 3);

  memset(&candidate, 0, sizeof candidate);
  CHECK(gavel_candidates_get(&candidate, list, 2) == GAVEL_INVALID_ARGUMENT);
  candidate.size = sizeof candidate;
  CHECK(gavel_candidates_get(&candidate, list, 2) == GAVEL_OK);
  CHECK(equals(candidate.text, "return a;") && candidate.index == 2 && candidate.finish == GAVEL_FINISH_LENGTH);
  CHECK(candidate.token_count == 2 && candidate.tokens[1] == 5 && candidate.tokens != tokens);
  CHECK(isnan(candidate.p_correct) && candidate.logprob_count == 0);
  CHECK(gavel_candidates_get(&candidate, list, 3) == GAVEL_INVALID_ARGUMENT);
  SAYS("3");

  CHECK(gavel_candidates_get_representatives(firsts, 2, list, GAVEL_JAVA) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_candidates_get_representatives(firsts, 3, list, 44) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_candidates_get_representatives(firsts, 3, list, GAVEL_JAVA) == GAVEL_OK);
  CHECK(firsts[0] == 0 && firsts[1] == 0 && firsts[2] == 2);
  gavel_candidates_destroy(list);
}

static void test_normal_form(void) {
  char* form = NULL;
  size_t size = 0;
  CHECK(gavel_normal_form(&form, &size, text("int  a; // one"), GAVEL_JAVA) == GAVEL_OK);
  CHECK(form != NULL && size == strlen(form) && strstr(form, "one") == NULL);
  gavel_free(form);
  CHECK(gavel_normal_form(&form, &size, text("x"), -1) == GAVEL_INVALID_ARGUMENT && form == NULL);
}

static void test_nulls(void) {
  gavel_model* model = (gavel_model*)&failures;
  gavel_generator* generator = NULL;
  gavel_judge* judge = NULL;
  gavel_candidates* candidates = NULL;
  gavel_ranking* ranking = NULL;
  gavel_model_info info;
  gavel_operating_point point;
  gavel_task task;
  float* states = NULL;
  size_t hidden = 0;
  CHECK(gavel_task_init(&task, sizeof task) == GAVEL_OK);
  info.size = sizeof info;
  CHECK(gavel_model_get_info(&info, NULL) == GAVEL_INVALID_ARGUMENT);
  SAYS("model is NULL");
  CHECK(gavel_model_self_test(NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_model_adapt(&model, NULL, "x") == GAVEL_INVALID_ARGUMENT && model == NULL);
  SAYS("base is NULL");
  CHECK(gavel_model_adapt(NULL, NULL, "x") == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_generator_create(&generator, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_generator_generate(&candidates, NULL, &task, NULL, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_generator_generate_many(NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_judge_create(&judge, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_operating_point_init(&point, sizeof point) == GAVEL_OK && isnan(point.threshold) && point.selected == 0);
  CHECK(gavel_judge_at_precision(&point, NULL, 0.95) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_tap(&states, &hidden, NULL, &task, NULL, NULL, 0, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranker_rank(&ranking, NULL, &task, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranking_to_json(NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  gavel_model_destroy(NULL);
  gavel_tokenizer_destroy(NULL);
  gavel_candidates_destroy(NULL);
  gavel_generator_destroy(NULL);
  gavel_judge_destroy(NULL);
  gavel_ranker_destroy(NULL);
  gavel_ranking_destroy(NULL);
}

/* Thinks that shorter is better; refuses to judge where the payload says so. */
static int32_t judge_by_length(gavel_verdict* out, size_t count, const gavel_task* task,
                               const gavel_candidates* candidates, const gavel_cancel* cancel, void* payload) {
  size_t i;
  (void)cancel;
  if (*(const int*)payload != 0) {
    gavel_set_last_error("the ruler is broken");
    return *(const int*)payload;
  }
  CHECK(task->prompt.size > 0);
  for (i = 0; i < count; ++i) {
    gavel_candidate candidate;
    candidate.size = sizeof candidate;
    CHECK(gavel_candidates_get(&candidate, candidates, i) == GAVEL_OK);
    out[i].p_correct = 1.0 / (1.0 + (double)candidate.text.size);
    out[i].decision = GAVEL_WRONG;
  }
  return GAVEL_OK;
}

static void test_own_judge(void) {
  gavel_ranker* ranker = NULL;
  gavel_ranking* ranking = NULL;
  gavel_candidates* list = NULL;
  gavel_judge_info info;
  gavel_ranking_info summary;
  gavel_ranked ranked;
  gavel_candidate best;
  gavel_task task;
  gavel_rank_options options;
  gavel_model* model = (gavel_model*)&failures;
  gavel_text json;
  size_t count = 9;
  double seconds = -1;
  int refusal = 0;
  CHECK(gavel_ranker_create(&ranker, NULL) == GAVEL_OK);
  CHECK(gavel_ranker_count_judges(&count, ranker) == GAVEL_OK && count == 0);
  CHECK(gavel_ranker_get_model(&model, ranker) == GAVEL_OK && model == NULL);
  options.size = sizeof options;
  CHECK(gavel_ranker_get_options(&options, ranker) == GAVEL_OK);
  CHECK(options.aggregation == GAVEL_MEAN_PROBABILITY && options.weight_count == 0);
  CHECK(gavel_judge_info_init(&info, sizeof info) == GAVEL_OK);
  info.name = text("ruler");
  info.kind = text("length");
  CHECK(gavel_ranker_add_callback_judge(ranker, &info, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranker_add_callback_judge(ranker, &info, judge_by_length, &refusal) == GAVEL_OK);
  CHECK(gavel_ranker_count_judges(&count, ranker) == GAVEL_OK && count == 1);
  CHECK(gavel_ranker_get_judge(&info, ranker, 1) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranker_get_judge(&info, ranker, 0) == GAVEL_OK && equals(info.name, "ruler"));
  CHECK(gavel_candidates_create(&list) == GAVEL_OK);
  CHECK(gavel_task_init(&task, sizeof task) == GAVEL_OK);
  task.prompt = text("int sum(int a, int b) {");
  task.language = GAVEL_JAVA;
  CHECK(gavel_ranker_rank(&ranking, ranker, &task, list, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(ranking == NULL);
  CHECK(gavel_candidates_add_text(list, text("return a + b + 0;")) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("return a + b;")) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("return a+b; // sum")) == GAVEL_OK);
  CHECK(gavel_ranker_solve(&ranking, ranker, &task, NULL, NULL, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);

  CHECK(gavel_ranker_rank(&ranking, ranker, &task, list, NULL, NULL) == GAVEL_OK);
  summary.size = sizeof summary;
  CHECK(gavel_ranking_get_info(&summary, ranking) == GAVEL_OK);
  CHECK(summary.count == 3 && summary.judge_count == 1 && summary.reason.size > 0);
  best.size = sizeof best;
  CHECK(gavel_ranking_get_candidate(&best, ranking, 0) == GAVEL_OK && best.index == 1);
  ranked.size = sizeof ranked;
  CHECK(gavel_ranking_get_ranked(&ranked, ranking, 0) == GAVEL_OK);
  CHECK(ranked.multiplicity == 2 && ranked.verdict_count == 1 && isnan(ranked.verdicts[0].logit));
  CHECK(fabs(ranked.score - 1.0 / 14) < 1e-9);
  info.size = sizeof info;
  CHECK(gavel_ranking_get_judge(&info, &seconds, ranking, 0) == GAVEL_OK);
  CHECK(equals(info.name, "ruler") && equals(info.kind, "length") && info.trained == 0 && seconds >= 0);
  CHECK(gavel_ranking_get_judge(&info, NULL, ranking, 1) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranking_get_candidate(&best, ranking, 3) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranking_to_json(&json, ranking) == GAVEL_OK && json.data[0] == '{');
  gavel_ranking_destroy(ranking);

  refusal = GAVEL_IO;
  CHECK(gavel_ranker_rank(&ranking, ranker, &task, list, NULL, NULL) == GAVEL_IO && ranking == NULL);
  SAYS("ruler");
  SAYS("broken");
  refusal = 1234;
  CHECK(gavel_ranker_rank(&ranking, ranker, &task, list, NULL, NULL) == GAVEL_INTERNAL);
  gavel_candidates_destroy(list);
  gavel_ranker_destroy(ranker);
}

/* Says of each candidate what class it is of, and why; the second it leaves out where the payload says so. */
static int32_t explain_by_length(gavel_verdicts* out, const gavel_task* task, const gavel_candidates* candidates,
                                 const gavel_cancel* cancel, void* payload) {
  static const double probabilities[] = {0.25, 0.75};
  gavel_explanation explanation;
  size_t count = 0;
  size_t i;
  (void)task;
  (void)candidates;
  (void)cancel;
  CHECK(gavel_verdicts_count(&count, out) == GAVEL_OK);
  CHECK(gavel_explanation_init(&explanation, sizeof explanation) == GAVEL_OK);
  CHECK(isnan(explanation.verdict.p_correct) && explanation.verdict.decision == GAVEL_ABSTAIN);
  CHECK(gavel_verdicts_set(out, 0, &explanation) == GAVEL_INVALID_ARGUMENT);
  SAYS("p_correct");
  CHECK(gavel_verdicts_set(out, count, &explanation) == GAVEL_INVALID_ARGUMENT);
  SAYS("index");
  for (i = 0; i < count - (size_t)(*(int32_t*)payload != 0); ++i) {
    explanation.verdict.p_correct = 0.75;
    explanation.verdict.decision = GAVEL_CORRECT;
    explanation.probabilities = probabilities;
    explanation.probability_count = 2;
    explanation.feedback = text("reads well");
    explanation.truncated = 3;
    CHECK(gavel_verdicts_set(out, i, &explanation) == GAVEL_OK);
  }
  return GAVEL_OK;
}

static void test_explaining_judge(void) {
  gavel_ranker* ranker = NULL;
  gavel_ranking* ranking = NULL;
  gavel_candidates* list = NULL;
  gavel_judge_info info;
  gavel_explanation explanation;
  gavel_task task;
  gavel_text labels[2];
  gavel_text json;
  int32_t leave_one_out = 0;
  labels[0] = text("wrong");
  labels[1] = text("correct");
  CHECK(gavel_ranker_create(&ranker, NULL) == GAVEL_OK);
  CHECK(gavel_judge_info_init(&info, sizeof info) == GAVEL_OK && info.label_count == 0);
  info.name = text("reader");
  info.labels = labels;
  info.label_count = 2;
  CHECK(gavel_ranker_add_explaining_judge(ranker, &info, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranker_add_explaining_judge(ranker, &info, explain_by_length, &leave_one_out) == GAVEL_OK);
  CHECK(gavel_task_init(&task, sizeof task) == GAVEL_OK);
  task.prompt = text("int f() {");
  CHECK(gavel_candidates_create(&list) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("return 1;")) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("return 2;")) == GAVEL_OK);
  CHECK(gavel_ranker_rank(&ranking, ranker, &task, list, NULL, NULL) == GAVEL_OK);
  explanation.size = sizeof explanation;
  CHECK(gavel_ranking_get_explanation(&explanation, ranking, 1, 0) == GAVEL_OK);
  CHECK(explanation.verdict.p_correct == 0.75 && explanation.verdict.decision == GAVEL_CORRECT);
  CHECK(explanation.probability_count == 2 && explanation.probabilities[1] == 0.75);
  CHECK(equals(explanation.feedback, "reads well") && explanation.truncated == 3);
  CHECK(gavel_ranking_get_explanation(&explanation, ranking, 1, 1) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_ranking_get_explanation(&explanation, ranking, 2, 0) == GAVEL_INVALID_ARGUMENT);
  info.size = sizeof info;
  CHECK(gavel_ranking_get_judge(&info, NULL, ranking, 0) == GAVEL_OK && info.label_count == 2);
  CHECK(equals(info.labels[1], "correct"));
  CHECK(gavel_ranking_to_json(&json, ranking) == GAVEL_OK && strstr(json.data, "reads well") != NULL);
  gavel_ranking_destroy(ranking);
  leave_one_out = 1;
  CHECK(gavel_ranker_rank(&ranking, ranker, &task, list, NULL, NULL) == GAVEL_INVALID_ARGUMENT && ranking == NULL);
  SAYS("reader");
  gavel_verdicts_destroy(NULL);
  gavel_candidates_destroy(list);
  gavel_ranker_destroy(ranker);
}

/* ---- With a bundle ---------------------------------------------------------------------------------------------- */

typedef struct {
  size_t bytes;
  int finished;
  int events_left; /* stops the call when it reaches 0 */
} stream_log;

static int32_t on_piece(const gavel_stream_event* event, void* payload) {
  stream_log* log = payload;
  log->bytes += event->text.size;
  log->finished += event->finished != 0;
  return --log->events_left == 0;
}

static void test_tokenizer(const gavel_model* model) {
  gavel_tokenizer* tokenizer = NULL;
  int32_t* ids = NULL;
  char* back = NULL;
  size_t count = 0;
  size_t size = 0;
  int32_t vocabulary = 0;
  int32_t id = 0;
  CHECK(gavel_model_get_tokenizer(&tokenizer, model) == GAVEL_OK);
  CHECK(gavel_tokenizer_encode(&ids, &count, tokenizer, text("int x = 1;"), 0) == GAVEL_OK && count > 0);
  CHECK(gavel_tokenizer_decode(&back, &size, tokenizer, ids, count, 0) == GAVEL_OK);
  CHECK(size == 10 && strcmp(back, "int x = 1;") == 0);
  gavel_free(ids);
  gavel_free(back);
  CHECK(gavel_tokenizer_encode(&ids, &count, tokenizer, text("\xFF"), 0) == GAVEL_INVALID_ARGUMENT && ids == NULL);
  CHECK(gavel_tokenizer_size(&vocabulary, tokenizer) == GAVEL_OK && vocabulary > 0);
  CHECK(gavel_tokenizer_decode(&back, &size, tokenizer, &vocabulary, 1, 0) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_tokenizer_id(&id, tokenizer, text("no such token at all")) == GAVEL_OK && id == -1);
  gavel_tokenizer_destroy(tokenizer);
}

static void test_generate(const gavel_model* model, const gavel_task* task) {
  gavel_generator* generator = NULL;
  gavel_candidates* candidates = NULL;
  gavel_candidates* many[2] = {NULL, NULL};
  const gavel_task* tasks[2];
  gavel_generate_options options;
  gavel_generate_stats stats;
  gavel_candidate candidate;
  gavel_cancel* cancel = NULL;
  gavel_task empty;
  gavel_text stop;
  stream_log log = {0, 0, -1};
  const int32_t* prompt = NULL;
  size_t count = 0;
  size_t i;
  stop = text("zzzzzzzz");
  CHECK(gavel_generator_create(&generator, model) == GAVEL_OK);
  CHECK(gavel_generate_options_init(&options, sizeof options) == GAVEL_OK);
  options.candidates = 3;
  options.max_tokens = 8;
  options.seed = 5;
  options.stop = &stop;
  options.stop_count = 1;
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, NULL, on_piece, &log) == GAVEL_OK);
  CHECK(gavel_candidates_count(&count, candidates) == GAVEL_OK && count == 3);
  CHECK(log.finished == 3);
  for (i = 0; i < count; ++i) {
    candidate.size = sizeof candidate;
    CHECK(gavel_candidates_get(&candidate, candidates, i) == GAVEL_OK);
    CHECK(candidate.index == (int32_t)i && candidate.token_count <= 8);
    CHECK(candidate.logprob_count == candidate.token_count && candidate.finish != GAVEL_FINISH_GIVEN);
  }
  stats.size = sizeof stats;
  CHECK(gavel_candidates_get_stats(&stats, candidates) == GAVEL_OK && stats.prompt_tokens > 0);
  CHECK(gavel_candidates_get_prompt_tokens(&prompt, &count, candidates) == GAVEL_OK);
  CHECK(prompt != NULL && (int64_t)count == stats.prompt_tokens);
  gavel_candidates_destroy(candidates);

  tasks[0] = task;
  tasks[1] = task;
  CHECK(gavel_generator_generate_many(many, generator, tasks, 2, &options, NULL, NULL, NULL) == GAVEL_OK);
  CHECK(many[0] != NULL && many[1] != NULL);
  gavel_candidates_destroy(many[0]);
  gavel_candidates_destroy(many[1]);

  log.events_left = 2;
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, NULL, on_piece, &log) == GAVEL_CANCELLED);
  CHECK(candidates == NULL);
  SAYS("stream callback");
  CHECK(gavel_cancel_create(&cancel) == GAVEL_OK);
  CHECK(gavel_cancel_set_deadline(cancel, 0) == GAVEL_OK);
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, cancel, NULL, NULL) == GAVEL_CANCELLED);
  CHECK(gavel_cancel_set_deadline(cancel, NAN) == GAVEL_OK);
  CHECK(gavel_cancel_trigger(cancel) == GAVEL_OK);
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, cancel, NULL, NULL) == GAVEL_CANCELLED);
  gavel_cancel_destroy(cancel);

  CHECK(gavel_task_init(&empty, sizeof empty) == GAVEL_OK);
  CHECK(gavel_generator_generate(&candidates, generator, &empty, &options, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  options.candidates = 0;
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  options.candidates = 10000;
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  SAYS("10000");
  options.candidates = 3;
  options.temperature = NAN;
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, NULL, NULL, NULL) == GAVEL_INVALID_ARGUMENT);
  options.temperature = 0.8F;
  CHECK(gavel_generator_generate(&candidates, generator, task, &options, NULL, NULL, NULL) == GAVEL_OK);
  gavel_candidates_destroy(candidates);
  gavel_generator_destroy(generator);
}

static void test_judge(const gavel_model* model, const gavel_task* task) {
  gavel_judge* judge = NULL;
  gavel_candidates* list = NULL;
  gavel_judge_options options;
  gavel_judge_info info;
  gavel_operating_point point;
  gavel_verdict verdicts[2];
  gavel_verdict alone;
  gavel_verdicts* explained = NULL;
  gavel_explanation explanation;
  gavel_judge* mute = NULL;
  const int32_t layers[2] = {0, 1};
  float* states = NULL;
  size_t hidden = 0, tokens[2];
  size_t i;
  CHECK(gavel_judge_options_init(&options, sizeof options) == GAVEL_OK && isnan(options.precision));
  options.kind = 9;
  CHECK(gavel_judge_create(&judge, model, &options) == GAVEL_INVALID_ARGUMENT && judge == NULL);
  options.kind = GAVEL_JUDGE_VERBALIZER;
  options.threshold = 2;
  CHECK(gavel_judge_create(&judge, model, &options) == GAVEL_INVALID_ARGUMENT);
  options.threshold = 0.5;
  options.precision = 0.95;
  CHECK(gavel_judge_create(&judge, model, &options) == GAVEL_INVALID_ARGUMENT);
  SAYS("give either");
  options.size = offsetof(gavel_judge_options, precision); /* as a header had it that knew of no precision */
  CHECK(gavel_judge_create(&judge, model, &options) == GAVEL_OK);
  CHECK(gavel_judge_options_init(&options, sizeof options) == GAVEL_OK);
  options.kind = GAVEL_JUDGE_VERBALIZER;
  point.size = sizeof point;
  CHECK(gavel_judge_at_precision(&point, judge, 1.5) == GAVEL_INVALID_ARGUMENT);
  SAYS("1.5");
  CHECK(gavel_judge_at_precision(&point, judge, 0.95) == GAVEL_UNSUPPORTED); /* it comes without a validation */
  SAYS("gavel calibrate");
  info.size = sizeof info;
  CHECK(gavel_judge_get_info(&info, judge) == GAVEL_OK && equals(info.kind, "verbalizer") && info.digest.size == 64);
  CHECK(gavel_candidates_create(&list) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("        return a + b;\n    }\n}\n")) == GAVEL_OK);
  CHECK(gavel_judge_judge(&alone, 1, judge, task, list, NULL) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("        return a - b;\n    }\n}\n")) == GAVEL_OK);
  CHECK(gavel_judge_judge(verdicts, 1, judge, task, list, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_judge_judge(verdicts, 2, judge, task, list, NULL) == GAVEL_OK);
  for (i = 0; i < 2; ++i) CHECK(verdicts[i].p_correct >= 0 && verdicts[i].p_correct <= 1 && !isnan(verdicts[i].logit));
  CHECK(fabs(alone.p_correct - verdicts[0].p_correct) < 1e-5);
  CHECK(info.label_count == 2 && equals(info.labels[0], "correct"));
  CHECK(gavel_judge_explain(&explained, judge, task, list, NULL) == GAVEL_OK);
  CHECK(gavel_verdicts_count(&i, explained) == GAVEL_OK && i == 2);
  explanation.size = sizeof explanation;
  CHECK(gavel_verdicts_get(&explanation, explained, 0) == GAVEL_OK);
  CHECK(explanation.verdict.p_correct == verdicts[0].p_correct && explanation.feedback.size == 0);
  CHECK(explanation.probability_count == 2 &&
        fabs(explanation.probabilities[0] + explanation.probabilities[1] - 1) < 1e-12);
  CHECK(gavel_verdicts_get(&explanation, explained, 2) == GAVEL_INVALID_ARGUMENT);
  gavel_verdicts_destroy(explained);
  options.feedback_tokens = 8;
  CHECK(gavel_judge_create(&mute, model, &options) == GAVEL_UNSUPPORTED && mute == NULL);
  SAYS("no feedback");
  options.feedback_tokens = -1;
  CHECK(gavel_judge_create(&mute, model, &options) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_tap(&states, &hidden, model, task, list, layers, 2, NULL) == GAVEL_OK && hidden > 0);
  gavel_free(states);
  CHECK(gavel_tap_tokens(&states, &hidden, tokens, 2, model, task, list, layers, 2, NULL) == GAVEL_OK);
  CHECK(hidden > 0 && tokens[0] > 0 && tokens[1] > 0 && states[(tokens[0] + tokens[1]) * 2 * hidden - 1] != 0);
  gavel_free(states);
  CHECK(gavel_tap_tokens(&states, &hidden, tokens, 1, model, task, list, layers, 2, NULL) == GAVEL_INVALID_ARGUMENT);
  CHECK(gavel_candidates_add_text(list, text("")) == GAVEL_OK);
  CHECK(gavel_judge_judge(verdicts, 3, judge, task, list, NULL) == GAVEL_INVALID_ARGUMENT);
  gavel_candidates_destroy(list);
  gavel_judge_destroy(judge);
}

static void test_team(gavel_model* model, const gavel_task* task) {
  gavel_ranker* ranker = NULL;
  gavel_ranking* ranking = NULL;
  gavel_judge* judge = NULL;
  gavel_judge_options options;
  gavel_generate_options generate;
  gavel_generate_stats stats;
  gavel_ranking_info info;
  gavel_text json;
  CHECK(gavel_judge_options_init(&options, sizeof options) == GAVEL_OK);
  options.kind = GAVEL_JUDGE_VERBALIZER;
  CHECK(gavel_judge_create(&judge, model, &options) == GAVEL_OK);
  CHECK(gavel_ranker_create(&ranker, model) == GAVEL_OK);
  CHECK(gavel_ranker_add_judge(ranker, judge) == GAVEL_OK);
  gavel_judge_destroy(judge); /* the ranker keeps it, and both keep the model */
  gavel_model_destroy(model);
  CHECK(gavel_generate_options_init(&generate, sizeof generate) == GAVEL_OK);
  generate.candidates = 3;
  generate.max_tokens = 8;
  CHECK(gavel_ranker_solve(&ranking, ranker, task, &generate, NULL, NULL, NULL, NULL) == GAVEL_OK);
  info.size = sizeof info;
  CHECK(gavel_ranking_get_info(&info, ranking) == GAVEL_OK);
  CHECK(info.count == 3 && info.judge_count == 1 && info.generator_digest.size == 64);
  stats.size = sizeof stats;
  CHECK(gavel_ranking_get_stats(&stats, ranking) == GAVEL_OK && stats.steps > 0);
  gavel_ranker_destroy(ranker);
  CHECK(gavel_ranking_to_json(&json, ranking) == GAVEL_OK && json.size > 2);
  gavel_ranking_destroy(ranking);
}

/* Every adapter of the bundle, and one it does not have. */
static void test_adapters(const gavel_model* model) {
  gavel_model* adapted = (gavel_model*)&failures;
  gavel_model_info info;
  size_t i;
  CHECK(gavel_model_adapt(&adapted, model, "no-such-adapter") == GAVEL_NOT_FOUND && adapted == NULL);
  SAYS("no-such-adapter");
  CHECK(gavel_model_adapt(&adapted, model, NULL) == GAVEL_INVALID_ARGUMENT);
  SAYS("name_or_folder is NULL");
  info.size = sizeof info;
  CHECK(gavel_model_get_info(&info, model) == GAVEL_OK);
  for (i = 0; i < info.adapter_count; ++i) {
    gavel_model_info own;
    own.size = sizeof own;
    CHECK(gavel_model_adapt(&adapted, model, info.adapters[i].data) == GAVEL_OK);
    CHECK(gavel_model_get_info(&own, adapted) == GAVEL_OK);
    CHECK(own.name.size == info.name.size + 1 + info.adapters[i].size && own.digest.size == 64);
    CHECK(own.adapter_count == 0 && own.context == info.context);
    CHECK(gavel_model_self_test(adapted) == GAVEL_OK);
    gavel_model_destroy(adapted);
  }
}

static void test_bundle(const char* path) {
  gavel_model* model = NULL;
  gavel_open_options options;
  gavel_model_info info;
  gavel_memory_estimate estimate;
  gavel_task task;
  CHECK(gavel_open_options_init(&options, sizeof options) == GAVEL_OK);
  options.pin = "0000000000000000000000000000000000000000000000000000000000000000";
  CHECK(gavel_model_open(&model, path, &options) == GAVEL_CORRUPT_BUNDLE && model == NULL);
  options.pin = "";
  options.device = "abacus";
  CHECK(gavel_model_open(&model, path, &options) != GAVEL_OK);
  SAYS("abacus");
  options.device = "cpu";
  options.self_test = 1;
  CHECK(gavel_model_open(&model, path, &options) == GAVEL_OK);
  if (model == NULL) return;
  info.size = sizeof info;
  CHECK(gavel_model_get_info(&info, model) == GAVEL_OK);
  CHECK(info.digest.size == 64 && info.context > 0 && equals(info.device, "cpu") && info.name.size > 0);
  CHECK(info.manifest_json.data[0] == '{');
  estimate.size = sizeof estimate;
  CHECK(gavel_model_estimate(&estimate, model, 100, 10, 100) == GAVEL_OK);
  CHECK(estimate.total == estimate.weights + estimate.prefix + estimate.own + estimate.scratch && estimate.own > 0);
  CHECK(gavel_task_init(&task, sizeof task) == GAVEL_OK);
  task.prompt = text("class Sum {\n    /** The sum of two numbers. */\n    static int sum(int a, int b) {\n");
  task.language = GAVEL_JAVA;
  test_adapters(model);
  test_tokenizer(model);
  test_generate(model, &task);
  test_judge(model, &task);
  test_team(model, &task);
}

/* A team of two judges: what it says of itself, and how it ranks where it is not told. */
static void test_team_file(const char* path) {
  gavel_ranker* ranker = NULL;
  gavel_ranking* ranking = NULL;
  gavel_model* model = NULL;
  gavel_candidates* list = NULL;
  gavel_rank_options options;
  gavel_judge_info info;
  gavel_ranked ranked;
  gavel_task task;
  double score = 0;
  size_t count = 0;
  CHECK(gavel_ranker_open(&ranker, path, NULL) == GAVEL_OK);
  if (ranker == NULL) return;
  CHECK(gavel_ranker_count_judges(&count, ranker) == GAVEL_OK && count == 2);
  info.size = sizeof info;
  CHECK(gavel_ranker_get_judge(&info, ranker, 1) == GAVEL_OK && info.digest.size == 64 && info.label_count == 2);
  CHECK(gavel_ranker_get_model(&model, ranker) == GAVEL_OK && model != NULL);
  gavel_model_destroy(model);
  options.size = sizeof options;
  CHECK(gavel_ranker_get_options(&options, ranker) == GAVEL_OK);
  CHECK(options.aggregation == GAVEL_STACKED && options.weight_count == 2);
  CHECK(gavel_candidates_create(&list) == GAVEL_OK);
  CHECK(gavel_candidates_add_text(list, text("    return 2 * x\n")) == GAVEL_OK);
  CHECK(gavel_task_init(&task, sizeof task) == GAVEL_OK);
  task.prompt = text("def double(x):\n");
  task.language = GAVEL_PYTHON;
  CHECK(gavel_ranker_rank(&ranking, ranker, &task, list, NULL, NULL) == GAVEL_OK);
  ranked.size = sizeof ranked;
  CHECK(gavel_ranking_get_ranked(&ranked, ranking, 0) == GAVEL_OK && ranked.verdict_count == 2);
  CHECK(gavel_aggregate(&score, ranked.verdicts, 2, &options) == GAVEL_OK && ranked.score == score);
  gavel_ranking_destroy(ranking);
  gavel_candidates_destroy(list);
  gavel_ranker_destroy(ranker);
}

int main(int argc, char** argv) {
  test_version();
  test_messages();
  test_missing_bundle();
  test_missing_team();
  test_missing_tokenizer();
  test_sizes();
  test_aggregate();
  test_cancel();
  test_candidates();
  test_normal_form();
  test_nulls();
  test_own_judge();
  test_explaining_judge();
  if (argc > 1) test_bundle(argv[1]);
  if (argc > 2) test_team_file(argv[2]);
  printf("%s%s\n", failures == 0 ? "passed" : "FAILED", argc > 1 ? "" : " (no bundle given: input checks only)");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
