/* SPDX-License-Identifier: Apache-2.0 */
/*
 * survey.c - a question to every lane.
 *
 * Called by what answers posternctl. Must never keep a lane from its mail: a question is answered
 * out of memory.
 */
#include <core/master/survey.h>
#include <stdlib.h>

struct survey_task {
	struct loop_task task; /* first */
	struct survey *survey;
	struct lane *lane;
	void (*ask)(struct lane *lane, const json_t *question, json_t *ret);
	void (*merge)(json_t *into, json_t *part);
	json_t *part;
};

static void
survey_back(struct loop_task *task)
{
	struct survey_task *question = (struct survey_task *)task;
	struct survey *survey = question->survey;

	question->merge(survey->answer, question->part);
	json_decref(question->part);
	free(question);
	if (--survey->due > 0)
		return;
	if (survey->finish)
		survey->finish(survey);
	survey->reply(survey->arg, survey->answer);
	json_decref(survey->question);
	free(survey);
}

static void
survey_ask(struct loop_task *task)
{
	struct survey_task *question = (struct survey_task *)task;

	question->ask(question->lane, question->survey->question, question->part);
	question->task.run = survey_back;
	loop_post(question->survey->relay->loop, &question->task);
}

struct survey *
survey_new(struct relay *relay, void (*reply)(void *arg, json_t *answer), void *arg)
{
	struct survey *survey = calloc(1, sizeof(*survey));

	if (!survey)
		abort();
	*survey = (struct survey){
		.relay = relay,
		.arg = arg,
		.reply = reply,
		.answer = json_object(),
		.due = relay->lane_count,
		.loading = atomic_load(&relay->loading) > 0,
	};
	return survey;
}

void
survey_start(struct survey *survey,
    void (*ask)(struct lane *lane, const json_t *question, json_t *ret),
    void (*merge)(json_t *into, json_t *part))
{
	struct relay *relay = survey->relay;

	for (size_t i = 0; i < relay->lane_count; i++) {
		struct survey_task *question = calloc(1, sizeof(*question));

		if (!question)
			abort();
		question->task.run = survey_ask;
		question->survey = survey;
		question->lane = relay->lanes[i];
		question->ask = ask;
		question->merge = merge;
		question->part = json_object();
		loop_post(lane_loop(relay->lanes[i]), &question->task);
	}
}
