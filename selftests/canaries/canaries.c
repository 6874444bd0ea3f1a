// SPDX-License-Identifier: GPL-2.0
/*
 * A module with one bug of each class that the debug kernels must detect, and nothing of
 * vdiset. selftests/check-debug triggers one after the other and fails if no detector
 * reports it. Writing the name of a class to the parameter "bug" executes that bug in
 * the context of the writer.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

/* Reads a value that the compiler must not know. */
static void *volatile pointer;
static volatile unsigned int number = 40;

static void use_after_free(void)
{
	pointer = kmalloc(64, GFP_KERNEL);
	kfree(pointer);
	((char *)pointer)[8] = 1;
}

static void out_of_bounds(void)
{
	pointer = kmalloc(64, GFP_KERNEL);
	((char *)pointer)[number + 25] = 1;
	kfree(pointer);
}

/*
 * Objects of several sizes: kmemleak does not report an object if any memory still has
 * its address, such as uninitialized memory of a freed object.
 */
static void leak(void)
{
	unsigned int i;

	for (i = 0; i < 24; i++)
		pointer = kmalloc(64 << i % 6, GFP_KERNEL);
	pointer = NULL;
}

static void shift(void)
{
	pr_info("canaries: %d\n", 1 << number);
}

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

static void lock_order(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static void lock_kept(void)
{
	mutex_lock(&first);
}

static DEFINE_SPINLOCK(spin);

static void sleep_in_atomic(void)
{
	spin_lock(&spin);
	msleep(1);
	spin_unlock(&spin);
}

static int __rcu *guarded;

static void rcu_unlocked(void)
{
	pr_info("canaries: %p\n", rcu_dereference(guarded));
}

struct timed {
	struct timer_list timer;
};

static void timer_fires(struct timer_list *timer)
{
}

static void free_active_timer(void)
{
	struct timed *t = kmalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return;
	timer_setup(&t->timer, timer_fires, 0);
	mod_timer(&t->timer, jiffies + 1000 * HZ);
	kfree(t);
}

static void list_corruption(void)
{
	LIST_HEAD(head);
	LIST_HEAD(entry);

	list_add(&entry, &head);
	entry.next = &entry;
	list_del(&entry);
}

static void hung_task(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(60 * HZ);
}

static void soft_lockup(void)
{
	unsigned long end = jiffies + 60 * HZ;

	preempt_disable();
	while (time_before(jiffies, end))
		cpu_relax();
	preempt_enable();
}

/* A bug that only a failed allocation triggers */
static void unchecked_allocation(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	WRITE_ONCE(p[0], 1);
	kfree(p);
}

static unsigned long shared;

static int racer(void *unused)
{
	unsigned long end = jiffies + 10 * HZ;

	while (time_before(jiffies, end)) {
		shared++;
		cond_resched();
	}
	return 0;
}

static void two_writers(void)
{
	struct task_struct *other = kthread_create_on_cpu(racer, NULL, 1,
							  "canaries/%u");

	if (IS_ERR(other))
		return;
	get_task_struct(other);
	wake_up_process(other);
	racer(NULL);
	kthread_stop(other);
	put_task_struct(other);
}

static const struct {
	const char *name;
	void (*happen)(void);
} bugs[] = {
	{ "use_after_free", use_after_free },
	{ "out_of_bounds", out_of_bounds },
	{ "leak", leak },
	{ "shift", shift },
	{ "lock_order", lock_order },
	{ "lock_kept", lock_kept },
	{ "sleep_in_atomic", sleep_in_atomic },
	{ "rcu_unlocked", rcu_unlocked },
	{ "free_active_timer", free_active_timer },
	{ "list_corruption", list_corruption },
	{ "hung_task", hung_task },
	{ "soft_lockup", soft_lockup },
	{ "unchecked_allocation", unchecked_allocation },
	{ "two_writers", two_writers },
};

static int bug_set(const char *name, const struct kernel_param *param)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bugs); i++) {
		if (sysfs_streq(name, bugs[i].name)) {
			bugs[i].happen();
			return 0;
		}
	}
	return -EINVAL;
}

static const struct kernel_param_ops bug_ops = {
	.set = bug_set,
};
module_param_cb(bug, &bug_ops, NULL, 0200);
MODULE_PARM_DESC(bug, "bug to trigger");

static int __init canaries_init(void)
{
	return 0;
}
module_init(canaries_init);

static void __exit canaries_exit(void)
{
}
module_exit(canaries_exit);

MODULE_DESCRIPTION("Bugs that debug kernels must detect");
MODULE_LICENSE("GPL");
