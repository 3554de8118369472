"""Ten candidates by one model, judged by the same model, and the best of them. Usage: best_of_ten.py BUNDLE"""

import sys

import gavel

PROMPT = 'def is_leap_year(year: int) -> bool:\n    """Whether a year is a leap year."""\n'


def main(bundle: str) -> None:
    with gavel.Model.open(bundle) as model:
        team = gavel.Ranker(gavel.Generator(model), judges=[gavel.Judge(model)])
        ranking = team.solve(gavel.Task(PROMPT, language="python"), candidates=10, max_tokens=64)
        print(PROMPT + ranking.best.candidate.text)
        print(ranking.reason)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: best_of_ten.py BUNDLE")
    try:
        main(sys.argv[1])
    except gavel.GavelError as error:
        sys.exit(str(error))
