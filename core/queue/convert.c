/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.c - letters that a next hop cannot take as they are, made into such as it can.
 *
 * Called by destination.c and connection.c, for one delivery at a time. The work is done on a job
 * thread; then the delivery stands first in its destination's line again. The spool keeps the
 * original: another next hop gets that. Must never hand back a letter that is still eight-bit, nor
 * begin twice for one delivery.
 */
#include <core/base/log.h>
#include <core/mail/convert.h>
#include <core/queue/destination.h>
#include <errno.h>

struct conversion {
	struct job job;
	struct delivery *delivery;
	struct mail_bytes *converted;
	struct pn_error err;
	int r;
};

/* The letter's part of the item's bytes, as bytes of their own, all of them in memory. */
static int
take_body(const struct courier_letter *letter, struct mail_bytes **ret)
{
	int r;

	if (letter->len == mail_bytes_size(letter->bytes))
		return mail_bytes_whole(letter->bytes, ret);
	r = mail_bytes_new(letter->len, ret);
	if (r < 0)
		return r;
	r = mail_bytes_append_part(*ret, letter->bytes, letter->offset, letter->len);
	if (r < 0)
		mail_bytes_release(ret);
	return r;
}

/* What is large does not stay in memory until it is sent. */
static int
let_overflow(struct mail_bytes **bytes)
{
	struct mail_bytes *from = *bytes;
	int r;

	if (from->len <= MAIL_IN_MEMORY)
		return 0;
	*bytes = NULL;
	r = mail_bytes_new_message(from->len, MAIL_BYTES_STAYS, bytes);
	if (r == 0)
		r = mail_bytes_append_part(*bytes, from, 0, from->len);
	if (r < 0)
		mail_bytes_release(bytes);
	mail_bytes_release(&from);
	return r;
}

static void
work(struct job *job)
{
	struct conversion *conversion = (struct conversion *)(void *)job;
	struct mail_bytes *body = NULL;

	conversion->r = take_body(&conversion->delivery->letter, &body);
	if (conversion->r < 0)
		return;
	conversion->r = mail_convert_7bit(body, &conversion->converted, &conversion->err);
	mail_bytes_release(&body);
	if (conversion->r == 0)
		conversion->r = let_overflow(&conversion->converted);
}

static void
go_on(struct delivery *delivery, struct mail_bytes *converted)
{
	struct courier_letter *letter = &delivery->letter;

	delivery->converted = converted;
	letter->offset = 0;
	letter->len = mail_bytes_size(converted);
	letter->has_eightbit = letter->binary = false;
	log_event(PN_LOG_INFO, "converted", "id", item_log_id(delivery->owner->item), "route",
	    destination_name(delivery->destination), NULL);
	if (delivery->destination->queue->draining)
		outcome_take_back(delivery);
	else
		lineup_add_first(&delivery->destination->lineup, delivery);
}

static void
give_up(struct delivery *delivery, const struct conversion *conversion)
{
	struct courier_letter *letter = &delivery->letter;

	if (conversion->r == -ENOTSUP)
		outcome_settle(delivery, COURIER_FAILED,
		    arena_printf(letter->arena,
			"554 5.6.3 the next hop takes 7bit only, and this cannot be converted: %s",
			conversion->err.text));
	else
		outcome_settle(
		    delivery, COURIER_DEFERRED, "452 4.3.1 no memory to convert the message");
	outcome_note(delivery);
}

static void
done(struct job *job)
{
	struct conversion *conversion = (struct conversion *)(void *)job;
	struct delivery *delivery = conversion->delivery;
	struct destination *destination = delivery->destination;
	struct queue *queue = destination->queue;

	destination->jobs--;
	if (conversion->r == 0)
		go_on(delivery, conversion->converted);
	else
		give_up(delivery, conversion);
	g_free(conversion);
	destination_pump(destination);
	queue_end(queue);
}

void
conversion_start(struct delivery *delivery)
{
	struct conversion *conversion = g_new0(struct conversion, 1);
	struct destination *destination = delivery->destination;

	delivery->letter.may_convert = delivery->letter.unfit = false;
	conversion->delivery = delivery;
	conversion->job = (struct job){
		.loop = destination->queue->parts.loop, .work = work, .done = done
	};
	destination->jobs++;
	queue_begin(destination->queue);
	jobs_submit(destination->queue->parts.jobs, &conversion->job);
}
