/* SPDX-License-Identifier: Apache-2.0 */
/* scan.h - walks through the records of one segment file, past damage; used by recovery.c. */
#ifndef CORE_QUEUE_SCAN_H
#define CORE_QUEUE_SCAN_H

#include <core/queue/record.h>
#include <core/queue/segment.h>

struct scan_record {
	struct record_header header; /* lengths of what is in clear */
	uint64_t offset, length;     /* in the file */
	struct pn_slice head;        /* in clear; until the next one */
	bool body_damaged;
};

struct scan_handler {
	/* 0 to go on, anything else ends the scan and is returned. */
	int (*record)(void *arg, const struct scan_record *record);
	void (*damaged)(void *arg, uint64_t offset, uint64_t len, const char *what);
	/* Some of what was told to be damaged was not read: the disk has it, perhaps. Once. */
	void (*unreadable)(void *arg);
	void *arg;
};

/* `cipher`: NULL for a segment in clear. `size`: bytes of the file to look at. */
int scan_segment(const struct segment_io *io, int fd, const struct segment *segment,
    struct cipher *cipher, uint64_t size, const struct scan_handler *handler);

#endif
