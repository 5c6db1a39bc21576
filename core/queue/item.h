/* SPDX-License-Identifier: Apache-2.0 */
/*
 * item.h - an accepted message: what the spool keeps and the queue works on.
 *
 * Made by a session (or for a DSN, by the queue) and given to queue_accept(); from then on it
 * belongs to the queue of that loop. Only that loop's thread touches it; the bytes are shared.
 */
#ifndef CORE_QUEUE_ITEM_H
#define CORE_QUEUE_ITEM_H

#include <core/mail/envelope.h>
#include <core/mail/facts.h>
#include <core/mail/message.h>
#include <core/mail/plan.h>

#define ITEM_NOBODY  UINT32_MAX
#define ITEM_ID_SIZE 16 /* 13 characters of base 32 and a NUL, sorted by time */

enum item_state {
	ITEM_WAITING,    /* to be tried at `due` */
	ITEM_SENDING,    /* a courier has it */
	ITEM_DELIVERED,  /* final */
	ITEM_FAILED,     /* final: refused for good or too old */
	ITEM_REPLANNED,  /* final: an item with a greater plan number has taken over */
	ITEM_REPLANNING, /* policy is choosing again; on disk he waits */
};

static inline bool
item_is_final(enum item_state state)
{
	return state == ITEM_DELIVERED || state == ITEM_FAILED || state == ITEM_REPLANNED;
}

/* What becomes of a held recipient when its time is up. */
enum item_hold_end {
	ITEM_HOLD_BOUNCE,  /* fails, and the sender is told */
	ITEM_HOLD_RELEASE, /* is sent */
	ITEM_HOLD_DELETE,  /* fails, and nobody is told */
};

struct item_hold {
	const char *reason, *owner; /* in words; who holds him */
	int64_t since_us, until_us; /* wall time; until 0: no end */
	enum item_hold_end end;
};

/* until_us of a hold that begins now: 0, for ever, also where no clock gets that far. */
static inline int64_t
item_hold_end(int64_t now_us, int64_t ms)
{
	return ms <= 0 || ms > (INT64_MAX - now_us) / 1000 ? 0 : now_us + ms * 1000;
}

struct item_recipient {
	struct mail_recipient *envelope; /* into the item's envelope, same index */
	enum item_state state;
	uint32_t attempts;
	struct mail_plan plan;
	int64_t due_us; /* wall time */
	int64_t last_attempt_us;
	const char *last_reply; /* of the last attempt: "550 5.1.1 No such user", NULL: none */
	const char *last_remote;
	/*
	 * Released: until then he has an attempt coming, however old the message is. 0: he had it.
	 * Memory only.
	 */
	int64_t owed_until_us;
	/* Not to be sent while it is there; a letter that has begun ends first. NULL: none. */
	const struct item_hold *hold;
};

/* Where a record lies in the spool. */
struct spool_place {
	uint64_t segment; /* 0: nowhere */
	uint64_t offset, length;
};

struct item_effect { /* staged effects, RFC-free: entry id, name, bytes */
	const char *entry, *name;
	struct pn_slice bytes;
};

struct item {
	char id[ITEM_ID_SIZE];
	/*
	 * The id that the client was told, where this item replaces plans of that one; "" where the
	 * item's own is it. Logs, traces and effects go by it (item_log_id).
	 */
	char origin[ITEM_ID_SIZE];
	int64_t accepted_us; /* of the message; a replan does not begin the time anew */
	struct arena arena;
	struct mail_facts facts;
	struct mail_envelope envelope;
	struct item_recipient *recipients; /* envelope.count of them */
	/*
	 * Every rendering, one behind the other: recipients point into them by plan.rendering. One
	 * record holds them all, so a message is accepted with all its renderings or not at all.
	 * NULL while only the spool has the bytes.
	 */
	struct mail_bytes *bytes;
	size_t size;            /* of the bytes, always known */
	size_t rendering_count; /* 0: one, all of the bytes */
	struct mail_rendering *renderings;
	bool wanted, opted_out; /* protection, for a replan */
	size_t tag_count;
	const char **tags;
	size_t effect_count;
	struct item_effect *effects;
	bool effects_done;
	bool needs_utf8; /* a header field is not ASCII, not: the client said SMTPUTF8 */
	bool has_eightbit;
	/*
	 * A replan: what this record takes over, in the moment it is durable. Recovery applies it
	 * to the other item, if that still lives. "" and 0: nothing.
	 */
	char replaces[ITEM_ID_SIZE];
	size_t replaced_count;
	/* Its recipients' indices, one for each of ours, in our order; ITEM_NOBODY: he is new. */
	const uint32_t *replaced;
	/*
	 * The entry whose verdict ended the message stage by a hold: whoever is released goes on
	 * behind it, as an item of his own (queue_parts.replan). What the stages so far wanted, and
	 * how the listener has mail put right, which is still to be done. NULL: the stage has
	 * passed.
	 */
	const char *resume;
	struct mail_want want;
	bool submission, hide_client;
	struct spool_place place;
	uint32_t unfinished; /* recipients not final */
	void *queue;         /* the queue's own, while it owns the item */
};

struct item *item_new(void);
/* In memory for `room` bytes with the item itself; 0: as item_new(). */
struct item *item_new_sized(size_t room);
/* What people know the message by. */
static inline const char *
item_log_id(const struct item *item)
{
	return item->origin[0] ? item->origin : item->id;
}
/*
 * Of a recipient's plan: its bytes within item->bytes. Nothing for one who is not served where the
 * item has renderings: none is his.
 */
struct mail_rendering item_rendering(const struct item *item, uint32_t index);
/* After envelope is set: makes the recipients' states. */
void item_prepare(struct item *item);
/*
 * The same in as little memory as it needs; what is no longer needed, old replies, is dropped. What
 * was in it has moved, so nobody may point into it. Its bytes and place go along.
 */
void item_pack(struct item **item);
void item_free(struct item **item);
/* A fresh id; never twice, also not after a restart with the clock set back (see item_id_floor). */
void item_id_new(char ret[ITEM_ID_SIZE]);
/* Ids made from now on are greater than this one. */
void item_id_floor(const char id[ITEM_ID_SIZE]);
/* The same for all ids made before this moment, wall time. */
void item_id_after(int64_t us);
/* Two processes that make ids at the same time have different numbers, below ITEM_ID_MAKERS. */
#define ITEM_ID_MAKERS 16
void item_id_maker(unsigned number);

#endif
