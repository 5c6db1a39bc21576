/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_write.c - lines on their way to standard error, gathered where a thread asks for that.
 *
 * Called by log.c from any thread, by event loops once per turn, and by signal handlers of a
 * process that dies: so a buffer is locked by a flag, and who cannot have the flag then leaves the
 * buffer.
 */
#include <core/base/log_line.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFERS     72 /* event loops; a thread that finds none writes each line by itself */
#define BUFFER_SIZE (32u * 1024)

/* Memory that nobody uses is never touched. */
static struct buffer {
	atomic_bool taken; /* by a thread, until it leaves */
	atomic_flag busy;  /* held while `len` or `text` are in use */
	size_t len;
	char text[BUFFER_SIZE];
} buffers[BUFFERS];

static atomic_size_t write_most = PIPE_BUF;
static atomic_bool dying; /* nothing is gathered any more */
static _Thread_local struct buffer *mine;
static _Thread_local bool gathering;

/* Several processes write: a file takes any write in one piece, a pipe no more than PIPE_BUF. */
void
log_write_setup(void)
{
	struct stat st;
	bool is_file = fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);

	write_most = is_file ? BUFFER_SIZE : PIPE_BUF;
}

static void
write_all(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere left to say it */
		text += n;
		len -= (size_t)n;
	}
}

static void
lock(struct buffer *buffer)
{
	while (atomic_flag_test_and_set_explicit(&buffer->busy, memory_order_acquire))
		sched_yield();
}

static void
unlock(struct buffer *buffer)
{
	atomic_flag_clear_explicit(&buffer->busy, memory_order_release);
}

/* Locked. */
static void
empty(struct buffer *buffer)
{
	write_all(buffer->text, buffer->len);
	buffer->len = 0;
}

static void
flush(struct buffer *buffer)
{
	lock(buffer);
	empty(buffer);
	unlock(buffer);
}

void
log_write(enum pn_level level, const char *line, size_t len)
{
	bool gather = gathering && mine && level > PN_LOG_ERROR && !dying;

	if (!gather) {
		if (mine)
			flush(mine); /* lines of a thread stay in order */
		write_all(line, len);
		return;
	}
	lock(mine);
	if (mine->len + len > write_most)
		empty(mine);
	memcpy(mine->text + mine->len, line, len);
	mine->len += len;
	unlock(mine);
}

void
log_gather_begin(void)
{
	gathering = true;
	for (size_t i = 0; i < BUFFERS && !mine; i++)
		if (!atomic_exchange(&buffers[i].taken, true))
			mine = &buffers[i];
}

void
log_gather_end(void)
{
	gathering = false;
	if (mine)
		flush(mine);
}

void
log_gather_leave(void)
{
	struct buffer *buffer = mine;

	log_gather_end();
	mine = NULL;
	if (buffer)
		atomic_store(&buffer->taken, false);
}

void
log_flush_all(void)
{
	atomic_store(&dying, true);
	for (size_t i = 0; i < BUFFERS; i++) {
		if (!atomic_load(&buffers[i].taken) ||
		    atomic_flag_test_and_set_explicit(&buffers[i].busy, memory_order_acquire))
			continue;
		empty(&buffers[i]);
		unlock(&buffers[i]);
	}
}
