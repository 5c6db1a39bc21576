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

#define ITEM_ID_SIZE 16 /* 13 characters of base 32 and a NUL, sorted by time */

enum item_state {
	ITEM_WAITING,   /* to be tried at `due` */
	ITEM_SENDING,   /* a courier has it */
	ITEM_DELIVERED, /* final */
	ITEM_FAILED,    /* final: refused for good or too old */
};

struct item_recipient {
	struct mail_recipient *envelope; /* into the item's envelope, same index */
	enum item_state state;
	uint32_t attempts;
	uint32_t plan;  /* plan number, 0 until replans exist */
	int64_t due_us; /* wall time */
	int64_t last_attempt_us;
	const char *last_reply; /* of the last attempt: "550 5.1.1 No such user", NULL: none */
	const char *last_remote;
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
	int64_t accepted_us;
	struct arena arena;
	struct mail_facts facts;
	struct mail_envelope envelope;
	struct item_recipient *recipients; /* envelope.count of them */
	struct mail_bytes *bytes;          /* NULL while only the spool has them */
	size_t size;                       /* of the bytes, always known */
	size_t tag_count;
	const char **tags;
	size_t effect_count;
	struct item_effect *effects;
	bool effects_done;
	bool needs_utf8; /* an address or a header is not ASCII, not: the client said SMTPUTF8 */
	bool has_eightbit;
	struct spool_place place;
	uint32_t unfinished; /* recipients not final */
	void *queue;         /* the queue's own, while it owns the item */
};

struct item *item_new(void);
/* After envelope is set: makes the recipients' states. */
void item_prepare(struct item *item);
void item_free(struct item **item);
/* A fresh id; never twice, also not after a restart with the clock set back (see item_id_floor). */
void item_id_new(char ret[ITEM_ID_SIZE]);
/* Ids made from now on are greater than this one. */
void item_id_floor(const char id[ITEM_ID_SIZE]);

#endif
