// SPDX-License-Identifier: GPL-2.0
/*
 * The parties of kills.c. Each runs from create or attach to the normal end by itself,
 * records its stage and the result of its work, and ends earlier if it is ordered to.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/socket.h>
#include "kills.h"

int kills_exec_fd = -1;
struct vd_memcg kills_memcg;

uint64_t rng_next(struct rng *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * 0x2545f4914f6cdd1dULL;
}

unsigned int rng_below(struct rng *r, unsigned int n)
{
	return n ? (rng_next(r) >> 33) % n : 0;
}

void nap_us(unsigned int us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000L };

	if (us)
		nanosleep(&ts, NULL);
}

unsigned int actors(const struct round *r)
{
	return SECONDARY + r->secondaries;
}

/*
 * This process
 */
static struct round *round_;
static struct actor *me;
static int who;
static struct rng rng;
static int set = -1;
static struct vd_dev dev[VDISET_MAX_DEVICES];
static volatile char *area;

static void at(enum stage stage)
{
	if (atomic_load(&me->stage) < (int)stage)
		atomic_store(&me->stage, stage);
}

static void pause_some(void)
{
	if (round_->pause_us && !rng_below(&rng, 4))
		nap_us(rng_below(&rng, round_->pause_us));
}

static int fail_at(const char *where, int ret)
{
	me->where = where;
	return ret;
}

static unsigned int devices(void)
{
	return 1 + round_->secondaries;
}

/* The device that a client opens */
static unsigned int own_device(void)
{
	return who == PRIMARY ? 0 : who - SECONDARY + 1;
}

/*
 * Orders to end
 */
static int end_now(enum way way)
{
	char *argv[] = { "sleeper", NULL };
	char *envp[] = { "VDISET_TEST_SLEEPER=1", NULL };
	int i = who == SERVER ? (int)rng_below(&rng, devices()) :
				(int)own_device();

	switch (way) {
	case EXIT:
		_exit(0);
	case EXEC:
		fexecve(kills_exec_fd, argv, envp);
		return -errno;
	case CLOSE:
		return set < 0 || close(set) ? -EBADF : 0;
	case CLOSE_DEVICE:
		return dev[i].fd <= 0 || close(dev[i].fd) ? -EBADF : 0;
	case ABORT:
		return set < 0 ? -EBADF :
		       vd_abort(set, VDISET_REASON_SIGNAL,
				ABORT_CODE(round_, who), ABORT_TEXT);
	case LEAVE:
		atomic_store(&me->leaving, 1);
		return set < 0 ? -EBADF : vd_close(set);
	default:
		return -EINVAL;
	}
}

static void *executioner(void *arg)
{
	int fd = round_->order[who][0];
	char way;

	(void)arg;
	while (read(fd, &way, 1) == 1)
		atomic_store(&me->ended, 1 - end_now(way));
	return NULL;
}

/*
 * END_CONFIG and REQUEST_BUFFERS block signals in their thread for a moment. SIGCHLD of
 * the child, which is ignored otherwise, is then pending for the process: any request
 * that waits or allocates, in any thread, may end with EINTR, and is repeated.
 */
#define REPEAT(request) ({			\
	int ret_;				\
						\
	do {					\
		ret_ = (request);		\
	} while (ret_ == -EINTR);		\
	ret_;					\
})

/*
 * Helpers of a party: another waiting thread, a child, a receiver of the descriptor
 */
static int poll_set(void)
{
	struct pollfd pfd = { .fd = set };

	return REPEAT(poll(&pfd, 1, -1) == 1 ? pfd.revents : -errno);
}

static void *extra_main(void *arg)
{
	(void)arg;
	me->extra_ret = me->extra == WAITS_FOR_CONFIG ?
		REPEAT(vd_get_config(set, VDISET_CONFIG_WAIT, -1, NULL)) :
		poll_set();
	return NULL;
}

static void child_main(void)
{
	alarm(1200);
	/* the OOM killer must kill the parent, not this child */
	vd_write_file("/proc/self/oom_score_adj", "-1000");
	if (me->child_exits) {
		close(set);
		_exit(0);
	}
	me->child_ret = poll_set();
	atomic_store(&me->child_done, 1);
	for (;;)
		pause();
}

static void pass_on(void)
{
	char byte = 0, buf[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = buf, .msg_controllen = sizeof(buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &set, sizeof(set));
	sendmsg(round_->socket[0], &msg, MSG_NOSIGNAL);
}

static pthread_t extra_thread;

static void take_company(void)
{
	pid_t pid;

	if (me->extra && pthread_create(&extra_thread, NULL, extra_main, NULL))
		me->extra = NO_EXTRA;
	if (me->passes)
		pass_on();
	if (!me->has_child)
		return;
	pid = fork();
	if (!pid)
		child_main();
	me->forked_child = pid;
}

/*
 * What both sides do
 */
static int map_area(void)
{
	void *p = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, set,
		       VDISET_MMAP_AREA);

	if (p == MAP_FAILED)
		return -errno;
	area = p;
	return 0;
}

static int open_device(unsigned int i)
{
	char name[80];

	return vd_dev_open(&dev[i], set, vd_device_name(name, round_->name, i));
}

/* Only the end of the set is of interest. */
static int wait_for_end(void)
{
	int events = poll_set();

	if (events < 0)
		return events;
	if (events & POLLERR)
		return -ECANCELED;
	return events & POLLHUP ? 0 : -EPROTO;
}

/*
 * The clients
 */
static int client_one(struct vd_dev *d, const struct vdiset_command *cmd)
{
	struct vdiset_completion done = { .tag = cmd->tag, .bytes = cmd->size };

	at(COMMAND);
	if (cmd->buffer >= AREA || area[cmd->buffer] != (char)cmd->position)
		return -EILSEQ;
	pause_some();
	at(COMPLETION);
	return vd_put(d, &done);
}

static int client_serve(void)
{
	struct vd_dev *d = &dev[own_device()];
	struct vdiset_command cmd;
	unsigned int spins;
	int ret;

	at(IDLE);
	do {
		spins = rng_below(&rng, 2) * 50;
		ret = REPEAT(vd_get(d, &cmd, spins, -1));
		if (!ret)
			ret = client_one(d, &cmd);
	} while (!ret);
	return fail_at("serve", ret);
}

static int client_work(void)
{
	int ret = map_area();

	if (ret)
		return fail_at("map", ret);
	pause_some();
	at(OPENING);
	ret = open_device(own_device());
	if (ret)
		return fail_at("open device", ret);
	ret = client_serve();
	if (ret != -EPIPE)
		return ret;
	/* the device was closed normally; the primary stays until the set ends */
	return who == PRIMARY ? fail_at("end", wait_for_end()) : 0;
}

static int primary_work(void)
{
	int ret = vd_create(set, round_->name, devices());

	if (ret)
		return fail_at("create", ret);
	atomic_store(&me->bound, 1);
	at(BOUND);
	take_company();
	pause_some();
	ret = REPEAT(vd_get_config(set, VDISET_CONFIG_WAIT, -1, NULL));
	if (ret)
		return fail_at("get config", ret);
	at(CONFIGURED);
	return client_work();
}

/* Waits for a stage; returns false if the set has ended before. */
static bool wait_for(const _Atomic int *word, int value)
{
	while (atomic_load(word) < value) {
		if (atomic_load(&round_->over))
			return false;
		nap_us(200);
	}
	return true;
}

static int secondary_work(void)
{
	int ret;

	do {
		if (!wait_for(&round_->actor[SERVER].stage, CONFIGURED))
			return fail_at("wait", -EAGAIN);
		ret = vd_attach(set, VDISET_ROLE_SECONDARY, round_->name);
	} while (ret == -EAGAIN);
	if (ret)
		return fail_at("attach", ret);
	atomic_store(&me->bound, 1);
	at(BOUND);
	take_company();
	pause_some();
	at(CONFIGURED);
	return client_work();
}

/*
 * The server
 */
struct worker {
	unsigned int sent;
	unsigned int done;
	bool closed;
};

static struct worker worker[VDISET_MAX_DEVICES];

static int server_send(unsigned int i)
{
	struct vdiset_command c = {
		.code = 2,
		.tag = worker[i].sent % DEPTH,
		.size = 512,
		.position = worker[i].sent,
	};

	c.buffer = (i * DEPTH + c.tag) * 512;
	area[c.buffer] = c.position;
	worker[i].sent++;
	at(COMMAND);
	return vd_put(&dev[i], &c);
}

/* Consumes all completions and sends as many commands as possible; 0 or -errno. */
static int server_worker(unsigned int i)
{
	struct worker *l = &worker[i];
	struct vdiset_completion c;
	int ret;

	while (!(ret = vd_consume(&dev[i], &c))) {
		at(COMPLETION);
		/* completions must arrive in the order of the commands */
		if (c.tag != l->done++ % DEPTH || c.bytes != 512)
			return -EILSEQ;
	}
	if (ret != -EAGAIN)
		return ret;
	while (l->sent < round_->commands && l->sent - l->done < DEPTH) {
		pause_some();
		ret = server_send(i);
		if (ret)
			return ret;
	}
	if (l->done < round_->commands)
		return 0;
	l->closed = true;
	at(CLOSING);
	return vd_device_close(dev[i].fd);
}

static int server_serve(void)
{
	unsigned int i, open = devices();
	uint32_t seen = 0;
	int ret = 0;

	/* never cleared: every completion comes with a kick */
	for (i = 0; i < devices(); i++)
		dev[i].own->need_wakeup = 1;
	at(IDLE);
	while (!ret) {
		for (i = 0; !ret && i < devices(); i++) {
			if (worker[i].closed)
				continue;
			ret = server_worker(i);
			open -= worker[i].closed;
		}
		if (ret || !open)
			break;
		if (round_->one_device_wait && devices() == 1)
			ret = REPEAT(vd_device_wait(dev[0].fd, VDISET_WAIT_SLEEP,
						    -1, dev[0].head));
		else
			ret = REPEAT(vd_set_wait(set, VDISET_WAIT_SLEEP, -1, 0,
						 &seen));
	}
	return fail_at("serve", ret);
}

static int server_configure(void)
{
	int ret = REPEAT(vd_configure(set, DEPTH));

	if (ret)
		return fail_at("configure", ret);
	pause_some();
	ret = REPEAT(vd_request_buffers(set, AREA, NULL));
	if (ret)
		return fail_at("request buffers", ret);
	pause_some();
	ret = REPEAT(vd_end_config(set));
	if (ret)
		return fail_at("end config", ret);
	at(CONFIGURED);
	return fail_at("map", map_area());
}

static int server_work(void)
{
	unsigned int i;
	int ret;

	/* not before the worker observes the set */
	if (!wait_for(&round_->observed, 1))
		return fail_at("wait", -EAGAIN);
	ret = vd_attach(set, VDISET_ROLE_SERVER, round_->name);
	if (ret)
		return fail_at("attach", ret);
	atomic_store(&me->bound, 1);
	at(BOUND);
	take_company();
	pause_some();
	at(CONFIGURING);
	ret = server_configure();
	if (ret)
		return ret;
	at(OPENING);
	for (i = 0; i < devices(); i++) {
		ret = open_device(i);
		if (ret)
			return fail_at("open device", ret);
	}
	return server_serve();
}

/*
 * The whole life of a party
 */
static void work(void)
{
	set = vd_open();
	at(OPENED);
	pause_some();
	if (who == PRIMARY)
		me->ret = primary_work();
	else if (who == SERVER)
		me->ret = server_work();
	else
		me->ret = secondary_work();
	me->when = vd_now();
}

static void leave(void)
{
	unsigned int i;

	me->has_status = !vd_status(set, &me->status);
	atomic_store(&me->leaving, 1);
	at(CLOSING);
	if (atomic_load(&me->bound))
		me->left = vd_close(set);
	if (me->extra && extra_thread)
		pthread_join(extra_thread, NULL);
	/* close the files here, or leave that to the exit */
	if (!rng_below(&rng, 2))
		return;
	for (i = 0; i < devices(); i++)
		vd_dev_release(&dev[i]);
	if (area)
		munmap((void *)area, AREA);
	close(set);
}

/* The OOM killer skips processes whose death would free no memory. */
static bool be_charged(void)
{
	char *p = mmap(NULL, AREA, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || vd_memcg_add(&me->group, getpid()))
		return false;
	memset(p, 1, AREA);
	atomic_store(&me->charged, 1);
	return true;
}

pid_t actor_start(struct round *r, int index)
{
	static const char *const comm[] = { "k-primary", "k-server", "k-second" };
	pid_t worker = getpid(), pid = fork();
	pthread_t thread;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != worker)
		_exit(1);
	setpgid(0, 0);
	prctl(PR_SET_NAME, comm[index > SECONDARY ? SECONDARY : index]);
	alarm(1200);
	round_ = r;
	who = index;
	me = &r->actor[index];
	rng.s = r->seed + 1000 + index;
	rng_next(&rng);
	if (me->group.group[0] && !be_charged())
		_exit(3);
	if (me->victim && pthread_create(&thread, NULL, executioner, NULL))
		_exit(2);
	work();
	leave();
	atomic_store(&me->finished, 1);
	_exit(0);
}

/*
 * A process that receives the file of a party and polls it
 */
static int receive_fd(int from)
{
	char byte, buf[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = buf, .msg_controllen = sizeof(buf),
	};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

pid_t holder_start(struct round *r)
{
	struct pollfd pfd = { 0 };
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "k-holder");
	alarm(1200);
	close(r->socket[0]);
	pfd.fd = receive_fd(r->socket[1]);
	if (pfd.fd < 0)
		_exit(0);
	atomic_store(&r->holder_got, 1);
	r->holder_ret = poll(&pfd, 1, -1) == 1 ? pfd.revents : -errno;
	atomic_store(&r->holder_done, 1);
	_exit(0);
}
