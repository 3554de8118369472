/* Ten candidates by one model, judged by the same model, and the best of them. Usage: best_of_ten_c BUNDLE */
#include <gavel.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  const char* prompt = "def is_leap_year(year: int) -> bool:\n    \"\"\"Whether a year is a leap year.\"\"\"\n";
  gavel_model* model = NULL;
  gavel_judge* judge = NULL;
  gavel_ranker* team = NULL;
  gavel_ranking* ranking = NULL;
  gavel_generate_options options;
  gavel_task task;
  gavel_candidate best;
  gavel_ranking_info info;
  int status = 1;
  if (argc != 2) {
    fprintf(stderr, "usage: best_of_ten_c BUNDLE\n");
    return 1;
  }

  if (gavel_generate_options_init(&options, sizeof options) != GAVEL_OK) goto failed;
  options.candidates = 10;
  options.max_tokens = 64;
  if (gavel_task_init(&task, sizeof task) != GAVEL_OK) goto failed;
  task.prompt.data = prompt;
  task.prompt.size = strlen(prompt);
  task.language = GAVEL_PYTHON;

  if (gavel_model_open(&model, argv[1], NULL) != GAVEL_OK) goto failed;
  if (gavel_judge_create(&judge, model, NULL) != GAVEL_OK) goto failed;
  if (gavel_ranker_create(&team, model) != GAVEL_OK) goto failed;
  if (gavel_ranker_add_judge(team, judge) != GAVEL_OK) goto failed;
  if (gavel_ranker_solve(&ranking, team, &task, &options, NULL, NULL, NULL, NULL) != GAVEL_OK) goto failed;

  best.size = sizeof best;
  if (gavel_ranking_get_candidate(&best, ranking, 0) != GAVEL_OK) goto failed;
  info.size = sizeof info;
  if (gavel_ranking_get_info(&info, ranking) != GAVEL_OK) goto failed;
  printf("%s", prompt);
  fwrite(best.text.data, 1, best.text.size, stdout);
  printf("\n%s\n", info.reason.data);
  status = 0;

failed:
  if (status != 0) fprintf(stderr, "%s\n", gavel_last_error());
  gavel_ranking_destroy(ranking);
  gavel_ranker_destroy(team);
  gavel_judge_destroy(judge);
  gavel_model_destroy(model);
  return status;
}
