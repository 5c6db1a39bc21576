/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier_body.c - the bytes of a letter on their way out: stuffed for DATA, as they are for BDAT.
 *
 * Called by courier_letter.c when they are wanted and by courier.c when what was written has gone.
 * What is in memory goes by reference. What has overflowed is read one window at a time by a job
 * thread, the next one when the last has gone, so that a connection holds no more of it, and no
 * disk holds up the loop. Must never send a byte of a window that could not be read.
 */
#include <core/smtp/courier_parts.h>
#include <errno.h>
#include <stdlib.h>

/* A body that goes out before we know whether any recipient is wanted: this much may be wasted. */
#define EARLY_MOST (256u * 1024)
/* Ranges of a stuffed body that are queued at a time. */
#define RANGES_MOST 64u

/* May outlive the courier. */
struct courier_window {
	struct job job;          /* first */
	struct courier *courier; /* NULL: nobody waits for it */
	struct mail_bytes *from; /* held */
	struct mail_bytes *to;
	size_t offset, len;
	int r;
};

static bool
is_in_memory(const struct courier_letter *letter)
{
	return letter->offset + letter->len <= letter->bytes->len;
}

static struct mail_bytes *
source(const struct courier *courier)
{
	return courier->part ? courier->part : courier->letter->bytes;
}

static void
break_for_memory(struct courier *courier)
{
	courier_break(courier, "451 4.3.0", "out of memory");
}

/* ---- windows --------------------------------------------------------------------------------- */

static void
free_window(struct courier_window *window)
{
	mail_bytes_release(&window->from);
	mail_bytes_release(&window->to);
	free(window);
}

static void
read_window(struct job *job)
{
	struct courier_window *window = (struct courier_window *)(void *)job;

	window->r = mail_bytes_read(window->from, window->offset, window->to->data, window->len);
	window->to->len = window->len;
}

static void
window_done(struct job *job)
{
	struct courier_window *window = (struct courier_window *)(void *)job;
	struct courier *courier = window->courier;

	if (!courier) {
		free_window(window);
		return;
	}
	courier->window = NULL;
	if (window->r < 0) {
		free_window(window);
		courier_break(courier, "451 4.3.0", "the message could not be read back");
		return;
	}
	mail_bytes_release(&courier->part);
	courier->part = mail_bytes_hold(window->to);
	courier->loaded += window->len;
	dot_writer_add(&courier->writer, mail_bytes_front(window->to),
	    courier->loaded == courier->letter->len);
	free_window(window);
	courier_body_go_on(courier);
}

static int
next_window(struct courier *courier)
{
	const struct courier_letter *letter = courier->letter;
	size_t left = letter->len - courier->loaded;
	struct courier_window *window = calloc(1, sizeof(*window));
	int r;

	if (!window)
		return -ENOMEM;
	window->job = (struct job){
		.loop = courier->parts.loop, .work = read_window, .done = window_done
	};
	window->courier = courier;
	window->offset = letter->offset + courier->loaded;
	window->len = left < MAIL_WINDOW ? left : MAIL_WINDOW;
	r = mail_bytes_new(window->len, &window->to);
	if (r < 0) {
		free_window(window);
		return r;
	}
	window->from = mail_bytes_hold(letter->bytes);
	courier->window = window;
	jobs_submit(courier->parts.jobs, &window->job);
	return 0;
}

void
courier_body_end(struct courier *courier)
{
	if (courier->window)
		courier->window->courier = NULL;
	courier->window = NULL;
	mail_bytes_release(&courier->part);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static void
release_bytes(void *arg)
{
	struct mail_bytes *bytes = arg;

	mail_bytes_release(&bytes);
}

/* By reference; the last range of a go holds the bytes. */
static int
write_range(struct courier *courier, struct pn_slice range, bool holds)
{
	struct mail_bytes *bytes;
	int r;

	courier->spoke = true;
	if (!holds)
		return stream_write_ref(&courier->stream, range, NULL, NULL);
	bytes = mail_bytes_hold(source(courier));
	r = stream_write_ref(&courier->stream, range, release_bytes, bytes);
	if (r < 0)
		mail_bytes_release(&bytes);
	return r;
}

static int
write_ranges(struct courier *courier)
{
	const struct dot_writer *writer = &courier->writer;
	struct pn_slice range;
	int r = 0;

	for (unsigned i = 1; i <= RANGES_MOST && r == 0; i++) {
		if (!dot_writer_next(&courier->writer, &range))
			break;
		r = write_range(courier, range,
		    writer->done || i == RANGES_MOST || dot_writer_wants_more(writer));
	}
	return r;
}

void
courier_expect_final(struct courier *courier)
{
	const struct courier_limits *limits = courier->parts.limits;

	courier_expect(courier, COURIER_FINAL,
	    stream_unsent(&courier->stream) > 0 ? limits->block : limits->final);
}

static int
write_on(struct courier *courier)
{
	return dot_writer_wants_more(&courier->writer) ? next_window(courier)
						       : write_ranges(courier);
}

void
courier_body_go_on(struct courier *courier)
{
	if (courier->state != COURIER_FINAL || courier->writing || courier->window)
		return;
	courier->writing = true;
	while (!courier->writer.done && !courier->window && courier->state == COURIER_FINAL &&
	       stream_unsent(&courier->stream) == 0) {
		if (write_on(courier) < 0)
			break_for_memory(courier);
		courier_flush(courier);
	}
	courier->writing = false;
	if (courier->state == COURIER_FINAL)
		courier_expect_final(courier);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static void
begin(struct courier *courier, bool plain)
{
	const struct courier_letter *letter = courier->letter;

	courier->spoke = true;
	courier->loaded = 0;
	mail_bytes_release(&courier->part);
	if (is_in_memory(letter))
		dot_writer_begin(&courier->writer, courier_letter_body(letter));
	else
		dot_writer_begin_windows(&courier->writer, plain);
}

void
courier_body_begin(struct courier *courier)
{
	begin(courier, false);
	courier->state = COURIER_FINAL;
	courier_body_go_on(courier);
}

bool
courier_body_may_be_early(const struct courier *courier)
{
	return courier->letter->len <= EARLY_MOST && is_in_memory(courier->letter);
}

void
courier_body_chunk(struct courier *courier)
{
	const struct courier_letter *letter = courier->letter;

	courier_say(courier, "BDAT %zu LAST\r\n", letter->len);
	if (!courier->letter)
		return;
	courier->body_written = is_in_memory(letter);
	if (!courier->body_written)
		begin(courier, true);
	else if (letter->len > 0 && write_range(courier, courier_letter_body(letter), true) < 0)
		break_for_memory(courier);
}
