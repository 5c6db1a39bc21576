/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memdisk.h - a file system in memory for tests of the spool: it fails when told to, and it
 * remembers every write and sync, so that the power can be cut afterwards at any of them.
 */
#ifndef TESTS_UNIT_MEMDISK_H
#define TESTS_UNIT_MEMDISK_H

#include <core/queue/segment_io.h>
#include <glib.h>
#include <pthread.h>

struct memdisk_file {
	GByteArray *bytes;
	guint number; /* of the inode, for the trace */
	int references;
};

enum memdisk_fault {
	MEMDISK_FAIL_SYNC,
	MEMDISK_FAIL_WRITE,
	MEMDISK_FAIL_ALLOCATE,
	MEMDISK_FAIL_OPEN, /* of a file that is there, to write to it */
	MEMDISK_FAULTS,
};

enum memdisk_kind {
	MEMDISK_CREATE,      /* name, file */
	MEMDISK_WRITE,       /* file, offset, bytes */
	MEMDISK_SIZE,        /* file, offset: the new size */
	MEMDISK_SYNC,        /* file */
	MEMDISK_RENAME,      /* name, to */
	MEMDISK_REMOVE,      /* name */
	MEMDISK_SYNC_FOLDER, /* name */
	MEMDISK_NOTE,        /* name: what the test said, number */
};

struct memdisk_event {
	enum memdisk_kind kind;
	guint file;
	uint64_t offset;
	char *name, *to;
	GByteArray *bytes;
	int number;
};

struct memdisk {
	struct segment_io io;
	pthread_mutex_t lock;
	GHashTable *names; /* path -> struct memdisk_file */
	GPtrArray *open;   /* by descriptor */
	guint files;
	GArray *trace;                     /* of struct memdisk_event; NULL: not kept */
	int faults[MEMDISK_FAULTS], error; /* see memdisk_fail(); counted down, -1: never */
	bool stay_broken;
	bool short_writes; /* of a part of the bytes, to be continued */
	uint64_t free_bytes;
	uint64_t read_bytes; /* so far */
};

struct memdisk *memdisk_new(void);
void memdisk_free(struct memdisk **disk);
/* The call of that kind behind `after` good ones fails; with break all later ones too. */
void memdisk_fail(struct memdisk *disk, enum memdisk_fault what, int after, int error);
void memdisk_break(struct memdisk *disk, enum memdisk_fault what, int after, int error);
void memdisk_mend(struct memdisk *disk);
void memdisk_trace(struct memdisk *disk);
/* Puts a remark of the test between the events. */
void memdisk_note(struct memdisk *disk, const char *name, int number);

/* NULL if there is none. */
GByteArray *memdisk_bytes(struct memdisk *disk, const char *path);
void memdisk_put(struct memdisk *disk, const char *path, const void *bytes, size_t len);
struct memdisk *memdisk_copy(struct memdisk *disk);
/* Files whose path begins so. */
guint memdisk_count(struct memdisk *disk, const char *prefix);

/*
 * The disk as it is after the power was cut behind event `cut` - 1. Synced writes are there. What
 * is unsynced is kept or lost as `keeps` says (bytes of it that are kept; all of it: SIZE_MAX).
 */
typedef size_t memdisk_keeps_fn(void *arg, guint event);
struct memdisk *memdisk_cut(
    const struct memdisk *disk, guint cut, memdisk_keeps_fn *keeps, void *arg);

/*
 * The disk as a process killed behind event `cut` - 1 leaves it to the next one: all is there, and
 * what was not synced still is not. It has the trace so far, and goes on with it.
 */
struct memdisk *memdisk_kill(const struct memdisk *disk, guint cut);

#endif
