/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - what the spool writes to disk: segments, records, fields. Complete; dear to change.
 *
 * All integers are little-endian. CRCs are CRC-32 (IEEE) and begin with 0.
 *
 * FILES in the spool folder (mode 0700, files 0600)
 *	00000001.seg	a segment. The number in the name is only a slot; what the file holds is in
 *			its header, which is overwritten in place when the file is used again.
 *	00000001.new	a segment being made; removed by whoever has its slot.
 *	lock		held by flock(2) by the process that has all segments; text: its pid.
 *	lock.next	the same of one that follows, or has just begun, and has only its own.
 *	writer		decimal: the number of the last process that began.
 *	corrupt/N-O.record	bytes of segment N from offset O on that could not be read.
 * Anything else is reported and left alone.
 *
 * SEGMENT: a header of 512 bytes, written twice, at 0 and at 4096 (two sectors on every disk);
 * records from `records_at` (8192) on. Of two valid copies the one with the greater number counts,
 * so a header torn while a file is reused leaves the old segment readable or begins the new one.
 *	  0  8  magic "PNSPOOL\n"
 *	  8  2  version, 1. A reader refuses to open a spool with a greater one.
 *	 10  2  flags, 0. Of bits it does not know a reader ignores 0x00ff and refuses 0xff00.
 *	 12  4  cipher: 0 none, 1 AES-256-GCM. Unknown: the spool is not opened.
 *	 16  8  number: grows by one with each segment begun and is never used twice.
 *	 24  8  epoch: random for each use of a file. Nobody outside can write a record that has it.
 *	 32  8  size of the file
 *	 40  8  sequence number of the first record
 *	 48  8  time it was begun, microseconds since 1970
 *	 56  4  records_at
 *	 60  4  0
 *	 64 16  greatest message id given before this segment, NUL-padded
 *	 80 96  with a cipher the segment's key, see ENCRYPTION; without, 0
 *	176 332 reserved, 0
 *	508  4  CRC of bytes 0 to 507
 *
 * RECORD: begins at a multiple of 16. Header, head (fields), body (bytes of a mail), zeroes up to
 * the next multiple of 16.
 *	  0  4  magic
 *	  4  1  length of this header in units of 16: 3. A longer one has more in front of its CRC.
 *	  5  1  type, see enum record_type
 *	  6  2  flags, none yet. Unknown bits: 0x00ff are ignored, 0xff00 refused.
 *	  8  8  epoch of the segment; another one: left from an earlier use of the file
 *	 16  8  sequence: grows by one with each record of the spool, across segments and restarts
 *	 24  8  length of the body
 *	 32  4  length of the head
 *	 36  4  CRC of the head
 *	 40  4  CRC of the body
 *	 44  4  CRC of the header up to here: always its last four bytes
 * Lengths and CRCs are of the stored bytes.
 * A type unknown to the reader: below 128 it refuses to open the spool, from 128 on it skips the
 * record.
 *
 * ENCRYPTION, with cipher 1: AES-256-GCM, tags of 16 bytes, nonces of 12. Headers of segments and
 * records stay in clear, so that damage is found, and segments leave, without a key; all else is
 * encrypted.
 * - A segment's key is random, made for each use of a file, and kept nowhere but in the segment's
 *   header (offsets there), wrapped: 80 nonce (random), 92 the key (32 bytes, encrypted), 124 tag,
 *   140 name of the key that wraps it (36 bytes, NUL-padded). The wrapping also authenticates bytes
 *   0 to 31 of the header and the name, so it fits no other segment.
 * - Head and body of a record are encrypted apart, each with its tag behind it. An empty body has
 *   none, an empty head has. The nonce is the sequence number (8 bytes) and then 0 for a head, 1
 *   for a body (4 bytes). Both authenticate bytes 0 to 35 of the record's header: all in front of
 *   the CRCs, which are of ciphertext and tag and so cannot be in it.
 * - No segment is continued after a restart, and a failed one is never written again, so no nonce
 *   is used twice with one key.
 * - Tags of heads are checked whenever they are read, those of bodies when a message is read back;
 *   at start a body's CRC is enough. What does not open is damaged like what fails its CRC, and is
 *   set aside as it stands, encrypted.
 * - Where the wrapping key is not known the segment is locked: left as it is, and named. Those
 *   before it are locked as well, since it may say what became of their messages; and what was said
 *   of its own must stay, so no segment behind it that an earlier process wrote is used again, and
 *   no index is written. Mail behind it flows.
 * - Segments in clear and encrypted ones stand side by side in one spool.
 *
 * INDEX of a segment that is full, so that a start need not read the bodies in it: a record of type
 * CHECKPOINT behind its last one, and a trailer in the last 32 bytes of the file:
 *	  0  8  magic "PNINDEX\n"
 *	  8  8  epoch of the segment
 *	 16  8  offset of that record
 *	 24  4  0
 *	 28  4  CRC of bytes 0 to 27
 * The record's head is empty. Its body has for each record before it, in their order, the 48 bytes
 * of its header as they are stored and its head in clear; it is encrypted like any other body. It
 * is written when all that it lists is synced, and nothing is written behind it. It is not synced
 * itself, but believed only if epoch, CRCs and tags are right and what it lists lies without gaps
 * between records_at and itself; otherwise the segment is read from one end to the other. It says
 * nothing that the records do not say, and who skips it misses nothing. Of a message found by it
 * the body's CRC is first checked when the body is read.
 * There is none in the segment that a process was writing when it ended, in one that failed, where
 * it would be larger than an eighth of the segment or 8 MiB, and where records took its room.
 *
 * FIELD: type (2), version (1), flags (1), length of the value (4), value. No padding. A field of
 * unknown type, or of a greater version than the reader knows, is skipped unless FIELD_CRITICAL is
 * set in its flags: then the spool is not opened. A known field may have grown at its end: what is
 * too much is ignored. Numbers are 8 bytes. Text has no NUL behind it; an absent field is NULL,
 * one of length 0 is "". Nested fields have the same form. Recipients are numbered from 0 in the
 * order of their fields. Absent numbers are 0.
 *
 * WHAT RECORDS MEAN, in the order of the log (segment number, then offset):
 *	MESSAGE	a message was accepted. Body: its bytes, all renderings one behind the other. With
 *		RECORD_REPLACES it also takes over recipients of another message, who are REPLANNED
 *		from then on, whatever earlier records say of them: so a new plan and the end of the
 *		old one are a single record. Where two name the same recipient (the sync of the
 *		first failed, and so did its ABORT) the later one counts, and what the earlier one
 *		has not delivered yet it never will. ABORT takes that back too; FINISH does not.
 *	MARK	states of some recipients as they now stand; replaces what was said of them before.
 *	FINISH	nothing is left to do for the message.
 *	ABORT	these messages, found earlier in the log, were refused (the sync failed).
 *	STATE	of the messages in one segment between two offsets exactly these are unfinished, and
 *		this is the state of their recipients. Replaces every earlier MARK, FINISH and ABORT
 *		about messages in that range.
 *	COPY	a message was moved: head and body of its MESSAGE once more, but without
 *		RECORD_REPLACES, and with RECORD_RECIPIENT_STATE and RECORD_EFFECTS_DONE, as in a
 *		MARK, for all that was said of it so far. It replaces what came before: the message
 *		is here, with these states. A STATE that covers the older place and does not have it
 *		says nothing against the newer one; one that covers the newer place and does not
 *		have it (the sync of the copy failed) means that it is where it was before.
 *	CHECKPOINT	nothing: it is the INDEX of its segment.
 * Types 6 to 8 are not used. That a recipient is held is a state of his (RECORD_HELD), so all that
 * carries states carries it: MARK, STATE, the MESSAGE itself. Who does not know it opens no spool.
 *
 * DURABILITY
 * - A MESSAGE is answered after fdatasync. MARK and FINISH are written when their loop comes to
 *   rest (spool.h), and synced with the next commit. What a start reads is synced before it
 *   counts. A segment is synced before the next one is begun.
 * - A failed write or sync is final: the segment is never written again. Messages refused for it
 *   are named by ABORT in the next segment, which is synced before they are answered; then a STATE
 *   for every segment makes up for marks that may have been lost.
 * - A power cut may lose the last marks (a duplicate), never an acknowledged message.
 * - A COPY counts when it is synced; the segment that it came from is not touched before.
 *
 * REUSE, so that no finished message comes back: what says that a message is finished (FINISH,
 * ABORT, STATE), or a recipient taken over (a MESSAGE that replaces), stands in its own segment or
 * in a later one, S. Overwriting S is safe once every older segment is overwritten or deleted
 * itself, or has a durable STATE later than S. Therefore:
 * 1. a segment becomes free when it has no unfinished message and either no older segment about
 *    whose messages it may say something is in use (nor any between that one and this), or it lies
 *    entirely before the last durable checkpoint (a STATE for every older segment then in use;
 *    they are written one after the other while mail goes on, and what that says is younger);
 * 2. free segments leave in the order in which they became free, which is by number among those
 *    that become free together. Each is durably overwritten (its first commit) or deleted (folder
 *    synced) before the next one is touched.
 * A message that was moved is unfinished in the segment where it is now, and no longer in the one
 * it came from. Of that the old record may be left until the file is overwritten; whatever says
 * that the message is finished is younger than both, so rule 1 keeps it until both are gone. A free
 * file still looks like a segment; found after a restart it is read again, all its messages are
 * finished, and it is free again.
 *
 * TWO PROCESSES may write at the same time, while one follows the other. The one that begins takes
 * lock.next and the next number N from `writer`; its segments and records are numbered from N*2^32
 * on, its slots from N*2^20 on. So everything of the process before sorts before everything of this
 * one, as if it had been written before, and no file belongs to both. That is also what it means:
 * about a message in the other's segments nothing is said here before the lock is had as well, when
 * the other has ended. Then its segments are read, and lock.next is free for the next process. What
 * a follower's own segments say before that is about messages in its own segments only, so it may
 * reuse those by the rules above as if there were no others.
 */
#ifndef CORE_QUEUE_RECORD_H
#define CORE_QUEUE_RECORD_H

#include <core/queue/field.h>
#include <core/queue/item.h>

#define RECORD_MAGIC       0x31635250u /* "PRc1" */
#define RECORD_HEADER      48u
#define RECORD_ALIGN       16u
#define RECORD_HEADER_MOST (255u * 16)         /* of later versions */
#define RECORD_HEAD_MOST   (64u * 1024 * 1024) /* no head is longer */

enum record_type {
	RECORD_MESSAGE = 1,
	RECORD_MARK = 2,
	RECORD_FINISH = 3,
	RECORD_ABORT = 4,
	RECORD_STATE = 5,
	RECORD_COPY = 9,
	RECORD_SKIPPABLE = 128,
	RECORD_CHECKPOINT = 128,
};

enum record_field {
	RECORD_ID = 1,       /* 13 characters */
	RECORD_ACCEPTED = 2, /* microseconds since 1970 */
	RECORD_FLAGS = 3,    /* enum record_flag */
	RECORD_ORIGIN = 4,   /* the id that the client was told; absent: RECORD_ID */
	/* facts of the session */
	RECORD_CLIENT_ADDRESS = 16,
	RECORD_CLIENT_LITERAL = 17,
	RECORD_LISTENER = 18,
	RECORD_HELO = 19,
	RECORD_USER = 20,
	RECORD_TLS_VERSION = 21,
	RECORD_TLS_CIPHER = 22,
	RECORD_TLS_BITS = 23,
	RECORD_CLIENT_UID = 24,  /* of a client at a unix socket */
	RECORD_CERTIFICATE = 25, /* the client's: its fingerprint, and in the next its subject */
	RECORD_CERTIFICATE_SUBJECT = 26,
	/* envelope */
	RECORD_SENDER = 32,
	RECORD_SENDER_ORIGINAL = 33, /* absent: the same */
	RECORD_ENVID = 34,
	RECORD_AUTH = 35,
	RECORD_RET = 36,       /* 0 none said, 1 FULL, 2 HDRS */
	RECORD_RECIPIENT = 37, /* nested: the next four, RECORD_ADDED, RECORD_PLAN and
				* RECORD_RECIPIENT_STATE if there is one */
	RECORD_ADDRESS = 38,
	RECORD_ORIGINAL = 39, /* absent: the same */
	RECORD_ORCPT = 40,
	RECORD_NOTIFY = 41, /* MAIL_NOTIFY_* */
	/*
	 * Critical: who does not know it would send by another way. The address whose server, named
	 * by RECORD_USER, takes the message; not for recipients with RECORD_ADDED.
	 */
	RECORD_USER_RELAY = 42,
	RECORD_ADDED = 43, /* 1: policy has added this recipient */
	/* policy */
	RECORD_TAG = 48,
	RECORD_EFFECT = 49, /* nested: the next three */
	RECORD_EFFECT_ENTRY = 50,
	RECORD_EFFECT_NAME = 51,
	RECORD_EFFECT_BYTES = 52,
	/*
	 * Critical: who does not know it would send what is held back, past the entries behind the
	 * one that it names. RECORD_WANT stands in the head and in each RECORD_RECIPIENT.
	 */
	RECORD_RESUME = 56,
	RECORD_WANT = 57, /* nested: the next two, stages of pn_stage */
	RECORD_WANT_WANTED = 58,
	RECORD_WANT_OPTED_OUT = 59,
	/* marks */
	RECORD_RECIPIENT_STATE = 64, /* nested: the next, up to RECORD_LAST_REMOTE,
				      * and RECORD_HOLD */
	RECORD_INDEX = 65,
	RECORD_STATE_NUMBER = 66, /* enum record_state; unknown: not opened */
	RECORD_ATTEMPTS = 67,
	/* 68 is not used */
	RECORD_DUE = 69, /* microseconds since 1970 */
	RECORD_LAST_ATTEMPT = 70,
	RECORD_LAST_REPLY = 71,
	RECORD_LAST_REMOTE = 72,
	RECORD_EFFECTS_DONE = 73, /* empty: the committed hooks ran */
	RECORD_HOLD = 74,         /* nested: the next five; only beside RECORD_HELD */
	RECORD_HOLD_REASON = 75,
	RECORD_HOLD_OWNER = 76,
	RECORD_HOLD_SINCE = 77,
	RECORD_HOLD_UNTIL = 78,
	RECORD_HOLD_END = 79, /* 0 bounce, 1 release, 2 delete; unknown: not opened */
	/* STATE */
	RECORD_SEGMENT = 80,
	RECORD_EPOCH = 81,
	RECORD_FROM = 82, /* offsets: from, and up to but not including */
	RECORD_TO = 83,
	RECORD_LIVE = 84, /* nested: RECORD_ID, RECORD_RECIPIENT_STATE, RECORD_EFFECTS_DONE */
	/*
	 * Plans. Critical where a reader that does not know them would send the wrong bytes, send
	 * them in clear, or send twice: all but a RECORD_PLAN that only says who chose and why.
	 */
	RECORD_PLAN = 96, /* nested: the next ones, up to RECORD_PLAN_TERMS */
	RECORD_PLAN_NUMBER = 97,
	RECORD_PLAN_METHOD = 98, /* absent: "none" */
	RECORD_PLAN_ENTRY = 99,
	RECORD_PLAN_REASON = 100,
	RECORD_PLAN_PASSED = 101,
	RECORD_PLAN_RENDERING = 102, /* counted from 0 in the order of RECORD_RENDERING */
	RECORD_PLAN_NEXT = 103,
	RECORD_PLAN_BITS = 104,
	RECORD_PLAN_LEVEL = 105, /* enum pn_tls_level; unknown: not opened */
	RECORD_PLAN_UNSERVED = 106,
	RECORD_PLAN_WAITS = 107,    /* 1: not met, deferred instead of failed */
	RECORD_PLAN_TERMS = 108,    /* nested: the next three, all critical */
	RECORD_TERMS_VERSION = 109, /* of TLS: 0x0304 */
	RECORD_TERMS_CIPHERS = 110, /* as in struct mail_demand */
	RECORD_TERMS_PINS = 111,
	RECORD_RENDERING = 112,        /* nested: the next two, RECORD_SENDER, RECORD_FLAGS */
	RECORD_RENDERING_OFFSET = 113, /* in the body */
	RECORD_RENDERING_LENGTH = 114,
	RECORD_REPLACES = 120, /* nested: RECORD_ID of another message; RECORD_INDEX, also where it
				* is 0, for each of this one's recipients: who he is there, or
				* 2^32 - 1 where he is nobody there */
};

enum record_flag { /* unknown bits are ignored */
	RECORD_FLAG_ESMTP = 0x1,
	RECORD_FLAG_SMTPUTF8 = 0x2,
	RECORD_FLAG_EIGHTBIT = 0x4,
	RECORD_FLAG_BINARY = 0x8,
	RECORD_FLAG_REQUIRETLS = 0x10,
	RECORD_FLAG_NEEDS_UTF8 = 0x20,
	RECORD_FLAG_HAS_EIGHTBIT = 0x40,
	RECORD_FLAG_EFFECTS_DONE = 0x80,
	RECORD_FLAG_WANTED = 0x100, /* protection */
	RECORD_FLAG_OPTED_OUT = 0x200,
	/* beside RECORD_RESUME: what is still to be done to the header */
	RECORD_FLAG_SUBMISSION = 0x400,
	RECORD_FLAG_HIDE_CLIENT = 0x800,
	RECORD_FLAG_TLS_OPTIONAL = 0x1000,
};

/* RECORD_STATE_NUMBER; apart from enum item_state so that the enum may change. */
enum record_state {
	RECORD_WAITING = 0,
	RECORD_DELIVERED = 2,
	RECORD_FAILED = 3,
	RECORD_REPLANNED = 4, /* another message has taken over */
	RECORD_HELD = 5,      /* waits, but is not to be sent */
};

struct record_header {
	uint8_t type;
	uint16_t flags;
	uint32_t header_len, head_len, head_crc, body_crc;
	uint64_t epoch, sequence, body_len;
};

void record_header_write(const struct record_header *header, char ret[RECORD_HEADER]);
/* From bytes at a possible start. -EBADMSG: no header of this epoch, or one that is damaged. */
int record_header_read(struct pn_slice bytes, uint64_t epoch, struct record_header *ret);
/* Damaged, but meant to be a record of this epoch and not left from an earlier use. */
bool record_header_remains(struct pn_slice bytes, uint64_t epoch);
/* With padding; 0 if the lengths are impossible. */
uint64_t record_length(const struct record_header *header);
/* MESSAGE or COPY. */
static inline bool
record_has_message(uint8_t type)
{
	return type == RECORD_MESSAGE || type == RECORD_COPY;
}
/* 0, or -EPROTONOSUPPORT where type or flags come from a newer version. */
int record_known(const struct record_header *header);

/* Heads. Writers append fields; an error sticks to the writer. */
void record_put_item(struct field_writer *writer, const struct item *item);
void record_put_id(struct field_writer *writer, const char *id);
/* Anything but a recipient not tried yet. */
bool record_has_state(const struct item_recipient *recipient);
void record_put_state(
    struct field_writer *writer, uint32_t index, const struct item_recipient *recipient);

/*
 * -EBADMSG: makes no sense; -EPROTONOSUPPORT: critical and unknown. The item owns copies of all;
 * its place is left to the caller, and so are the bytes, of which there must be `body_len`.
 */
int record_get_item(struct pn_slice head, uint64_t body_len, struct item **ret);
/* Applies RECORD_RECIPIENT_STATE and RECORD_EFFECTS_DONE. -EBADMSG for an unknown recipient. */
int record_apply(struct pn_slice head, struct item *item);
/* The head of a COPY: record_get_item() and what was said of it before. */
int record_get_copy(struct pn_slice head, uint64_t body_len, struct item **ret);
/* Makes the head of a COPY out of that of a MESSAGE or COPY; the states are the caller's to add. */
void record_put_copy(struct field_writer *writer, struct pn_slice head);
/* -EBADMSG where the value is no id. */
int record_get_id(struct pn_slice value, char ret[ITEM_ID_SIZE]);
/* The id a MARK or FINISH is about: its first RECORD_ID. */
int record_find_id(struct pn_slice head, char ret[ITEM_ID_SIZE]);

#endif
