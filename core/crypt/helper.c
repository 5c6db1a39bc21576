/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper.c - the loop of a crypt helper: one question, one answer.
 *
 * Started by pool.c with a socket, a home folder and nothing else. Must never do two things at a
 * time, write to anything but its home and what it was handed, or outlive the other end.
 */
#include <core/crypt/gpg.h>
#include <core/crypt/helper.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST (INT64_C(2) << 30)
#define DATA_MOST (INT64_C(1) << 30)

bool
helper_wanted(int argc, char **argv)
{
	return argc == 2 && strcmp(argv[1], HELPER_ROLE) == 0;
}

static void
limit(int what, rlim_t most)
{
	const struct rlimit to = { most, most };

	setrlimit((__rlimit_resource_t)what, &to);
}

static void
restrict_itself(void)
{
	umask(077);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_NAME, "postern-crypt", 0, 0, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, 64);
	limit(RLIMIT_FSIZE, FILE_MOST);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	limit(RLIMIT_DATA, DATA_MOST);
#endif
	signal(SIGPIPE, SIG_IGN);
}

/* ---- one question ---------------------------------------------------------------------------- */

struct question {
	struct frame_question head;
	const char *bytes; /* all of `in`, mapped */
	size_t size;
	struct pn_slice pieces[GPG_PIECES_MOST];
};

static int
read_pieces(struct question *question, struct pn_error *err)
{
	size_t at = 0;

	for (size_t i = 0; i < question->head.count; i++) {
		uint32_t len;

		if (question->size - at < sizeof(len))
			return pn_error_set(err, -EPROTO, "a question is cut short");
		memcpy(&len, question->bytes + at, sizeof(len));
		at += sizeof(len);
		if (len > question->size - at)
			return pn_error_set(err, -EPROTO, "a question is cut short");
		question->pieces[i] = pn_slice(question->bytes + at, len);
		at += len;
	}
	return question->head.body == at ? 0 : pn_error_set(err, -EPROTO, "a question is odd");
}

static int
work(struct gpg *gpg, struct question *question, const int *fds, struct frame_answer *answer,
    struct pn_error *err)
{
	const struct frame_question *head = &question->head;
	int r = read_pieces(question, err);

	if (r < 0)
		return r;
	if (head->work == FRAME_INSPECT && head->count == 2)
		return gpg_inspect(gpg, question->pieces[0], head->flags & FRAME_PINNED,
		    question->pieces[1], fds[1], err);
	if (head->work != FRAME_ENCRYPT || head->count == 0)
		return pn_error_set(err, -EPROTO, "an unknown question");
	if (lseek(fds[0], (off_t)head->body, SEEK_SET) < 0)
		return pn_error_set(err, -errno, "lseek: %s", strerror(errno));
	return gpg_encrypt(gpg, question->pieces, head->count, head->flags & FRAME_HIDDEN, fds[0],
	    fds[1], &answer->culprit, err);
}

static void
answer_question(
    struct gpg *gpg, const struct frame_question *head, const int *fds, struct frame_answer *answer)
{
	static struct question question;
	struct pn_error err = { 0 };
	struct stat st;
	void *map = MAP_FAILED;
	int r;

	question.head = *head;
	if (head->magic != FRAME_MAGIC || head->count > GPG_PIECES_MOST || fstat(fds[0], &st) < 0 ||
	    st.st_size <= 0)
		r = pn_error_set(&err, -EPROTO, "a question makes no sense");
	else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fds[0], 0)) ==
		 MAP_FAILED)
		r = pn_error_set(&err, -errno, "mmap: %s", strerror(errno));
	else {
		question.bytes = map;
		question.size = (size_t)st.st_size;
		r = work(gpg, &question, fds, answer, &err);
		munmap(map, question.size);
	}
	gpg_forget(gpg);
	answer->result = r;
	snprintf(answer->text, sizeof(answer->text), "%.399s", err.text);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void
serve(struct gpg *gpg, const struct pn_error *broken)
{
	struct frame_question head;
	int fds[FRAME_FDS];

	while (frame_receive(FRAME_SOCKET, &head, sizeof(head), fds) > 0) {
		struct frame_answer answer = { .magic = FRAME_MAGIC, .culprit = -1 };
		int r;

		if (broken->code < 0) {
			answer.result = broken->code;
			snprintf(answer.text, sizeof(answer.text), "%.399s", broken->text);
		} else {
			answer_question(gpg, &head, fds, &answer);
		}
		close(fds[0]);
		close(fds[1]);
		r = frame_send(FRAME_SOCKET, &answer, sizeof(answer), NULL);
		if (r < 0)
			return;
	}
}

int
helper_main(void)
{
	const char *home = getenv("GNUPGHOME");
	struct pn_error err = { 0 };
	struct gpg gpg = { 0 };
	struct stat st;
	int type = 0;
	socklen_t len = sizeof(type);

	if (!home || *home != '/' ||
	    getsockopt(FRAME_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET || stat(home, &st) < 0 || st.st_uid != geteuid() ||
	    (st.st_mode & 077) != 0) {
		fprintf(stderr, HELPER_ROLE " is for the relay's own use\n");
		return 2;
	}
	fcntl(FRAME_SOCKET, F_SETFD, FD_CLOEXEC);
	restrict_itself();
	if (gpg_begin(&gpg, home, &err) < 0)
		err.code = err.code == -ENOMEM ? err.code : -ENOSYS;
	serve(&gpg, &err);
	if (gpg.ctx)
		gpgme_release(gpg.ctx);
	if (err.code == 0)
		gpg_forget(&gpg);
	if (chdir(home) == 0) {
		unlink("gpg.conf");
		rmdir(home);
	}
	return 0;
}
