/* SPDX-License-Identifier: Apache-2.0 */
/*
 * survey.h - a question to every lane of the relay, and one answer out of all of theirs.
 *
 * Begun on the main loop, where it ends as well; each lane answers on its own.
 */
#ifndef CORE_MASTER_SURVEY_H
#define CORE_MASTER_SURVEY_H

#include <core/master/relay_state.h>

struct survey {
	struct relay *relay;
	json_t *question; /* lanes read it at the same time; NULL: there is nothing to say */
	void *arg;
	/* Takes the answer, after `finish`. */
	void (*reply)(void *arg, json_t *answer);
	void (*finish)(struct survey *survey); /* or NULL */
	json_t *answer;
	size_t due;
	bool loading; /* when it began: a lane that had answered may have got more since */
};

struct survey *survey_new(struct relay *relay, void (*reply)(void *arg, json_t *answer), void *arg);
/* `ask` on each lane's loop; `merge` on the main one, with what it has set. Frees the survey. */
void survey_start(struct survey *survey,
    void (*ask)(struct lane *lane, const json_t *question, json_t *ret),
    void (*merge)(json_t *into, json_t *part));

#endif
