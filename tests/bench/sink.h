/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink.h - what the two halves of the sink share: sink.c (sockets, time, report) and
 * sink_talk.c (the SMTP conversation).
 */
#ifndef TESTS_BENCH_SINK_H
#define TESTS_BENCH_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum sink_step { STEP_CONNECT, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_DOT, STEP_COUNT };
enum sink_action { ACTION_REPLY, ACTION_CLOSE, ACTION_DELAY };

/* At every `every`-th arrival at `step`: a reply of `value`, a silent close, `value` ms of delay.
 */
struct sink_fault {
	enum sink_step step;
	enum sink_action action;
	unsigned every, value;
	uint64_t arrivals;
};

#define SINK_FAULTS_MOST 16

/* Everything of one process; the conversation counts in it. */
struct sink {
	struct sink_fault faults[SINK_FAULTS_MOST];
	unsigned fault_count;
	bool pipelining, chunking;
	bool anywhere;         /* listens on every address, else on 127.0.0.1 */
	const char *id_header; /* NULL: ids are not wanted */
	FILE *ids;
	uint64_t messages, recipients, bytes, connections, faulted;
	double first, last; /* CLOCK_MONOTONIC of the first and last message, seconds */
};

#define TALK_INPUT    32768
#define TALK_OUTPUT   8192
#define TALK_LINE     2048 /* longest command */
#define TALK_HEAD     8192 /* of a message, kept to find its id */
#define TALK_RECEIVED 1000 /* recipients of one message */

enum talk_mode { TALK_COMMAND, TALK_DATA, TALK_BDAT };

struct talk {
	enum talk_mode mode;
	unsigned match; /* how much of CR LF . CR LF has been seen */
	uint64_t left;  /* of a BDAT chunk */
	bool last;      /* that chunk is the message's last */
	bool have_mail, in_bdat;
	unsigned recipients;
	bool close;        /* when the output is written */
	unsigned delay_ms; /* set by a fault: wait so long before going on */
	size_t in_len, out_len, head_len;
	char *head; /* NULL unless ids are wanted */
	char in[TALK_INPUT], out[TALK_OUTPUT];
};

/* The greeting. */
void talk_open(struct talk *talk, struct sink *sink);
/* Works on talk->in as far as it goes; stops at a delay, a close or a full output. */
void talk_run(struct talk *talk, struct sink *sink);
double sink_now(void);

#endif
