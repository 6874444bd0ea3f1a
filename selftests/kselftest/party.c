// SPDX-License-Identifier: GPL-2.0
/* Parties in separate processes: see vdiset_test.h */
#define _GNU_SOURCE
#include "vdiset_test.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct order {
	vd_fn fn;
	long a;
	long b;
};

static void party_main(struct vd_party *me, int orders, int answers)
{
	struct order o;

	while (read(orders, &o, sizeof(o)) == sizeof(o)) {
		long ret = o.fn(me, o.a, o.b);

		if (write(answers, &ret, sizeof(ret)) != sizeof(ret))
			break;
	}
	_exit(0);
}

struct vd_party *vd_party_start(const char *comm)
{
	struct vd_party *p = vd_shared(sizeof(*p));
	pid_t test = getpid(), pid;
	int in[2], out[2];

	if (!p || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return NULL;
	p->set = -1;
	p->to_party = in[1];
	p->to_test = out[0];
	fflush(NULL);
	/* not into p->pid, which the child shares and in which it would store 0 */
	pid = fork();
	if (pid < 0)
		return NULL;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != test)
			_exit(1);
		prctl(PR_SET_NAME, comm);
		/* setuid() clears PDEATHSIG; then the party ends at EOF of its pipe */
		close(in[1]);
		close(out[0]);
		alarm(1200);
		party_main(p, in[0], out[1]);
	}
	p->pid = pid;
	close(in[0]);
	close(out[1]);
	return p;
}

int vd_party_post(struct vd_party *p, vd_fn fn, long a, long b)
{
	struct order o = { fn, a, b };

	return write(p->to_party, &o, sizeof(o)) == sizeof(o) ? 0 : -errno;
}

long vd_party_finish(struct vd_party *p, int64_t timeout_ns)
{
	struct pollfd pfd = { .fd = p->to_test, .events = POLLIN };
	long ret;

	if (poll(&pfd, 1, timeout_ns / MS) != 1)
		return VD_NO_ANSWER;
	if (read(p->to_test, &ret, sizeof(ret)) != sizeof(ret))
		return VD_NO_ANSWER;
	return ret;
}

long vd_party_call(struct vd_party *p, vd_fn fn, long a, long b)
{
	int ret = vd_party_post(p, fn, a, b);

	return ret ? ret : vd_party_finish(p, VD_HANG);
}

static void print_file(pid_t pid, const char *file)
{
	char path[64], buf[4096];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	if (vd_read_file(path, buf, sizeof(buf)) <= 0)
		return;
	for (char *line = strtok(buf, "\n"); line; line = strtok(NULL, "\n"))
		printf("# %s\n", line);
}

/*
 * Prints the state of a party that does not exit. SysRq adds to the kernel log what
 * each processor executes, the blocked tasks and the memory use.
 */
static void lament(const struct vd_party *p)
{
	printf("# party %d has not exited:\n", p->pid);
	print_file(p->pid, "stat");
	print_file(p->pid, "stack");
	vd_write_file("/proc/sysrq-trigger", "l");
	vd_write_file("/proc/sysrq-trigger", "w");
	vd_write_file("/proc/sysrq-trigger", "m");
	/* a second sample shows whether the process is stuck or slow */
	vd_sleep_ms(100);
	print_file(p->pid, "stat");
	/* the test may be aborted, so flush now */
	fflush(stdout);
}

int vd_party_reap(struct vd_party *p)
{
	int64_t end = vd_now() + VD_HANG;
	int status = -1;

	while (!p->reaped) {
		if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
			p->reaped = true;
			break;
		}
		if (vd_now() > end) {
			lament(p);
			return -1;
		}
		vd_sleep_ms(1);
	}
	return status;
}

void vd_party_kill(struct vd_party *p)
{
	if (p->reaped)
		return;
	/* no permission to kill another user's process: it ends at EOF */
	if (kill(p->pid, SIGKILL) && p->to_party >= 0) {
		close(p->to_party);
		p->to_party = -1;
	}
	vd_party_reap(p);
}

long vd_p_create(struct vd_party *me, long devices, long unused)
{
	(void)unused;
	me->set = vd_open();
	return vd_create(me->set, me->name, devices);
}

long vd_p_attach(struct vd_party *me, long role, long unused)
{
	(void)unused;
	me->set = vd_open();
	return vd_attach(me->set, role, me->name);
}

long vd_p_configure(struct vd_party *me, long depth, long unused)
{
	(void)unused;
	return vd_configure(me->set, depth);
}

long vd_p_end_config(struct vd_party *me, long bytes, long unused)
{
	int ret = vd_request_buffers(me->set, bytes, &me->area_size);

	(void)unused;
	return ret ? ret : vd_end_config(me->set);
}

long vd_p_open_device(struct vd_party *me, long index, long unused)
{
	char name[80];

	(void)unused;
	return vd_dev_open(&me->dev[index], me->set,
			   vd_device_name(name, me->name, index));
}

long vd_p_device_close(struct vd_party *me, long index, long unused)
{
	(void)unused;
	return vd_device_close(me->dev[index].fd);
}

long vd_p_close(struct vd_party *me, long unused, long unused2)
{
	(void)unused;
	(void)unused2;
	return vd_close(me->set);
}

long vd_p_abort(struct vd_party *me, long reason, long code)
{
	return vd_abort(me->set, reason, code, "by a party");
}

long vd_p_status(struct vd_party *me, long unused, long unused2)
{
	(void)unused;
	(void)unused2;
	return vd_status(me->set, &me->out.status);
}

long vd_p_map_area(struct vd_party *me, long bytes, long unused)
{
	(void)unused;
	me->area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			me->set, VDISET_MMAP_AREA);
	return me->area == MAP_FAILED ? -errno : 0;
}

long vd_p_send(struct vd_party *me, long index, long tag)
{
	struct vdiset_command c = {
		.code = 1,
		.tag = tag,
		.buffer = VDISET_NO_BUFFER,
	};

	return vd_put(&me->dev[index], &c);
}

static void *sleeper_main(void *arg)
{
	struct vd_sleeper *s = arg;
	struct pollfd pfd = { .fd = s->fd };
	uint32_t seen = 0;
	int ret = -EINVAL;

	atomic_store(&s->tid, syscall(SYS_gettid));
	switch (s->kind) {
	case VD_SLEEP_DEVICE_WAIT:
		ret = vd_device_wait(s->fd, VDISET_WAIT_SLEEP, -1, s->seen);
		break;
	case VD_SLEEP_SET_WAIT:
		ret = vd_set_wait(s->fd, VDISET_WAIT_SLEEP, -1, 0, &seen);
		break;
	case VD_SLEEP_GET_CONFIG:
		ret = vd_get_config(s->fd, VDISET_CONFIG_WAIT, -1, NULL);
		break;
	case VD_SLEEP_POLL_SET:
	case VD_SLEEP_POLL_DEVICE:
		/* no events requested: only POLLERR and POLLHUP wake it */
		ret = poll(&pfd, 1, -1);
		ret = ret == 1 ? pfd.revents : -errno;
		break;
	}
	s->when = vd_now();
	s->ret = ret;
	atomic_store(&s->done, 1);
	return NULL;
}

long vd_p_sleeper(struct vd_party *me, long kind, long index)
{
	struct vd_sleeper *s = &me->sleeper[me->n_sleepers];
	pthread_t thread;
	bool device = kind == VD_SLEEP_DEVICE_WAIT ||
		      kind == VD_SLEEP_POLL_DEVICE;

	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->seen = device ? me->dev[index].head : 0;
	s->fd = device ? me->dev[index].fd : me->set;
	if (pthread_create(&thread, NULL, sleeper_main, s))
		return -EAGAIN;
	pthread_detach(thread);
	return me->n_sleepers++;
}

struct vd_sleeper *vd_party_sleep(struct vd_party *p, enum vd_sleep kind,
				  long index)
{
	long n = vd_party_call(p, vd_p_sleeper, kind, index);

	if (n < 0 || !vd_wait_word(&p->sleeper[n].tid, 1, VD_HANG) ||
	    !vd_wait_asleep(p->pid, p->sleeper[n].tid))
		return NULL;
	return &p->sleeper[n];
}

bool vd_sleeper_join(struct vd_sleeper *s, int64_t timeout_ns)
{
	return vd_wait_word(&s->done, 1, timeout_ns);
}

int64_t vd_last_return(struct vd_sleeper *const *s, int n, int64_t t)
{
	int64_t worst = 0;
	int i;

	for (i = 0; i < n; i++) {
		const int end = POLLERR | POLLHUP;
		int kind = s[i]->kind, ret;
		bool polls = kind == VD_SLEEP_POLL_SET ||
			     kind == VD_SLEEP_POLL_DEVICE;

		if (!vd_sleeper_join(s[i], VD_HANG)) {
			fprintf(stderr, "# sleeper %d (kind %d) still sleeps\n",
				i, kind);
			return -1;
		}
		ret = s[i]->ret;
		if (polls ? (ret & end) != end : ret != -ECANCELED) {
			fprintf(stderr, "# sleeper %d (kind %d) got %d\n", i, kind,
				ret);
			return -2;
		}
		if (s[i]->when - t > worst)
			worst = s[i]->when - t;
	}
	return worst;
}
