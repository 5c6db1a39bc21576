/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_outbox.c - takes what Postern has to say itself out of the database into the spool.
 *
 * A job claims what is there, the first lane's queue makes it durable, and the next job notes that
 * it did: what a crash catches in between goes a second time rather than never. Runs on the main
 * loop; must never wait there for the database, nor take anything while the relay is drained.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/mail/letter.h>
#include <core/master/relay_state.h>
#include <core/store/outbox.h>
#include <glib.h>
#include <stdio.h>
#include <unistd.h>

#define LOOK_MS    1000
#define TROUBLE_MS 5000 /* after the database has failed */
#define MOST       50   /* of one look */
#define FORGET_MS  (3600 * 1000)

struct letter_task {
	struct loop_task task; /* to the lane, and back */
	struct relay_outbox *outbox;
	struct arena arena;
	struct outbox_letter letter; /* in the arena */
	bool durable;                /* in the spool */
};

struct relay_outbox {
	struct relay *relay;
	struct loop_timer timer;
	struct job job;
	char claimant[48];
	bool leaving;         /* what is claimed is noted, and nothing more is claimed */
	GPtrArray *letters;   /* struct letter_task: of the last look */
	guint under_way;      /* of these; of the main loop */
	bool looking;         /* no timer runs; the same */
	int64_t forgotten_ms; /* when, of the jobs; 0: not yet */
	int result;
	struct pn_error err;
};

static void
free_letter(void *data)
{
	struct letter_task *task = data;

	arena_free(&task->arena);
	g_free(task);
}

/* ---- on a policy thread ---------------------------------------------------------------------- */

static void
keep(void *arg, const struct outbox_letter *found)
{
	struct relay_outbox *outbox = arg;
	struct letter_task *task = g_new0(struct letter_task, 1);
	struct arena *arena = &task->arena;
	const char **recipients = arena_alloc(arena, found->count * sizeof(*recipients));

	task->outbox = outbox;
	for (size_t i = 0; i < found->count; i++)
		recipients[i] = arena_text(arena, found->recipients[i]);
	task->letter = (struct outbox_letter){ .number = found->number,
		.written_us = found->written_us,
		.owner = arena_text(arena, found->owner),
		.key = arena_text(arena, found->key),
		.sender = arena_text(arena, found->sender),
		.recipients = recipients,
		.count = found->count,
		.subject = arena_text(arena, found->subject),
		.text = arena_text(arena, found->text) };
	g_ptr_array_add(outbox->letters, task);
}

/* Those that are in the spool by now; the others are claimed again later. */
static int
note_sent(struct relay_outbox *outbox)
{
	int r = 0;

	while (r == 0 && outbox->letters->len > 0) {
		const struct letter_task *task = outbox->letters->pdata[0];

		if (task->durable)
			r = outbox_sent(outbox->relay->db, task->letter.number, &outbox->err);
		if (r == 0)
			g_ptr_array_remove_index(outbox->letters, 0);
	}
	return r;
}

static int
forget(struct relay_outbox *outbox)
{
	int64_t now = clock_monotonic_ms();

	if (outbox->forgotten_ms > 0 && now - outbox->forgotten_ms < FORGET_MS)
		return 0;
	outbox->forgotten_ms = now;
	return outbox_forget(outbox->relay->db, &outbox->err);
}

static struct relay_outbox *
outbox_of(struct job *job)
{
	return (struct relay_outbox *)(void *)((char *)job - offsetof(struct relay_outbox, job));
}

static void
look(struct job *job)
{
	struct relay_outbox *outbox = outbox_of(job);
	struct db *db = outbox->relay->db;
	bool waits = false;
	int r = note_sent(outbox);

	if (r == 0)
		r = forget(outbox);
	if (r == 0 && !outbox->relay->closed && !outbox->leaving)
		r = outbox_waits(db, &waits, &outbox->err);
	if (r == 0 && waits)
		r = outbox_claim(db, outbox->claimant, MOST, keep, outbox, &outbox->err);
	outbox->result = r;
}

/* ---- on the lane ----------------------------------------------------------------------------- */

static void submit(struct relay_outbox *outbox);

/* On the main loop. When all are answered, the next look notes it. */
static void
back(struct loop_task *task)
{
	struct relay_outbox *outbox = ((struct letter_task *)task)->outbox;

	if (--outbox->under_way == 0)
		submit(outbox);
}

static void
on_durable(void *arg, int r, const struct item *item)
{
	struct letter_task *task = arg;
	const struct outbox_letter *letter = &task->letter;
	char count[24];

	task->durable = r == 0;
	snprintf(count, sizeof(count), "%zu", letter->count);
	if (r == 0)
		log_event(PN_LOG_NOTICE, "own-mail", "id", item->id, "by", letter->owner, "key",
		    *letter->key ? letter->key : NULL, "to", letter->recipients[0], "recipients",
		    count, NULL);
	else
		log_event(PN_LOG_WARNING, "own-mail-not-written", "by", letter->owner, "to",
		    letter->recipients[0], "reason", strerror(-r), NULL);
	task->task.run = back;
	loop_post(task->outbox->relay->loop, &task->task);
}

static void
send_letter(struct loop_task *loop_task)
{
	struct letter_task *task = (struct letter_task *)loop_task;
	const struct outbox_letter *from = &task->letter;
	char id[48];
	struct letter letter = { .id = id,
		.wall_us = from->written_us,
		.sender = from->sender,
		.recipients = from->recipients,
		.count = from->count,
		.subject = from->subject,
		.text = from->text };

	/* The same each time, so that a copy is known for one. */
	snprintf(id, sizeof(id), "%lld.%lld", (long long)from->number, (long long)from->written_us);
	queue_letter(lane_queue(task->outbox->relay->lanes[0]), &letter, on_durable, task);
}

/* ---- on the main loop ------------------------------------------------------------------------ */

static void
submit(struct relay_outbox *outbox)
{
	outbox->looking = true;
	/* A relay that leaves takes nothing more, and says what it has taken: else another sends
	 * it. */
	outbox->leaving = outbox->relay->draining;
	if (!outbox->leaving || outbox->letters->len > 0)
		jobs_submit(outbox->relay->jobs, &outbox->job);
}

static void
has_looked(struct job *job)
{
	struct relay_outbox *outbox = outbox_of(job);
	struct relay *relay = outbox->relay;
	int r = outbox->result;

	if (relay->draining)
		return;
	if (r < 0)
		log_event(PN_LOG_WARNING, "outbox-not-read", "error", outbox->err.text, NULL);
	if (r < 0 || outbox->letters->len == 0) {
		loop_timer_set(relay->loop, &outbox->timer, r < 0 ? TROUBLE_MS : LOOK_MS);
		outbox->looking = false;
		return;
	}
	outbox->under_way = outbox->letters->len;
	for (guint i = 0; i < outbox->letters->len; i++) {
		struct letter_task *task = outbox->letters->pdata[i];

		task->task.run = send_letter;
		loop_post(lane_loop(relay->lanes[0]), &task->task);
	}
}

static void
on_timer(struct loop_timer *timer)
{
	submit(
	    (struct relay_outbox *)(void *)((char *)timer - offsetof(struct relay_outbox, timer)));
}

void
relay_outbox_look(struct relay *relay)
{
	struct relay_outbox *outbox = relay->outbox;

	if (outbox->looking)
		return;
	loop_timer_cancel(relay->loop, &outbox->timer);
	submit(outbox);
}

void
relay_outbox_start(struct relay *relay)
{
	struct relay_outbox *outbox = g_new0(struct relay_outbox, 1);

	relay->outbox = outbox;
	outbox->relay = relay;
	snprintf(outbox->claimant, sizeof(outbox->claimant), "%d.%lld", (int)getpid(),
	    (long long)relay->started_us);
	outbox->letters = g_ptr_array_new_with_free_func(free_letter);
	outbox->timer.fire = on_timer;
	outbox->job = (struct job){ .loop = relay->loop, .work = look, .done = has_looked };
	loop_timer_set(relay->loop, &outbox->timer, LOOK_MS);
}

void
relay_outbox_free(struct relay *relay)
{
	struct relay_outbox *outbox = relay->outbox;

	relay->outbox = NULL;
	if (!outbox)
		return;
	if (note_sent(outbox) < 0)
		log_event(PN_LOG_WARNING, "outbox-not-read", "error", outbox->err.text, NULL);
	g_ptr_array_unref(outbox->letters);
	g_free(outbox);
}
