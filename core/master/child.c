/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c - starts posternd again in another role.
 *
 * Executed, not only forked: a child keeps none of the master's memory and gets its own address
 * layout. All descriptors are close-on-exec, so a child has what it is handed and no more.
 */
#include <core/master/channel.h>
#include <core/master/child.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void
become(int program, const char *role, int fd)
{
	char option[64], version[32];
	char name[] = "posternd";
	char *args[] = { name, option, version, NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(option, sizeof(option), "--child=%s", role);
	snprintf(version, sizeof(version), "--channel=%d", CHANNEL_VERSION);
	/* dup2 onto itself would leave close-on-exec set */
	if (fd == CHILD_CHANNEL ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, CHILD_CHANNEL) >= 0)
		fexecve(program, args, environ);
	_exit(127);
}

int
child_start(int program, const char *role, int patience_s, struct child *ret, struct pn_error *err)
{
	const struct timeval patience = { .tv_sec = patience_s };
	int ends[2];
	pid_t pid;

	*ret = (struct child){ 0, -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return pn_error_set(
		    err, -errno, "cannot make a channel for the %s: %s", role, strerror(errno));
	pid = fork();
	if (pid == 0)
		become(program, role, ends[1]);
	close(ends[1]);
	if (pid < 0) {
		int r = pn_error_set(err, -errno, "cannot start the %s: %s", role, strerror(errno));

		close(ends[0]);
		return r;
	}
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	*ret = (struct child){ pid, ends[0] };
	return 0;
}

void
child_end(struct child *child)
{
	if (child->fd >= 0)
		close(child->fd);
	while (child->pid > 0 && waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*child = (struct child){ 0, -1 };
}
