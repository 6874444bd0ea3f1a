/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vdiset.h - objects and functions of vdiset.ko
 *
 * Objects and the references that keep them alive:
 *
 *   set files, device files  --ref-->  party, set
 *   parties                  --ref-->  set
 *   mappings of rings        --pin-->  device file, and each ring page
 *   mappings of the area     --pin-->  the shmem file, its account, the module
 *
 * A set is freed with its last file; its memory is freed with the last file of a party
 * that is not an observer. limits.c says what is charged to which user. A party (one
 * process in one role) leaves once: by CLOSE, or when its process drops the file (see
 * party.c).
 *
 * Locks, outermost first:
 *
 *   file->bind_lock (mutex)    binding one set file
 *   set->config_lock (mutex)   CONFIGURE .. END_CONFIG and growth; held while
 *                              memory is allocated
 *   set->lock (spinlock)       everything else in the set: state, parties, devices,
 *                              abort record; an abort takes only this lock
 *   vdiset_names_lock          the table of names (set.c)
 *   vdiset_limits_lock         the accounts (limits.c)
 *
 * Sets are looked up under RCU (set.c). set->state and device->state are written under
 * set->lock and may be read without it; wait conditions do.
 */
#ifndef VDISET_H
#define VDISET_H

#include <linux/atomic.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/vdiset.h>

/* The two sides of a device; also the index of a region's owner. */
enum vdiset_side {
	VDISET_SERVER,
	VDISET_CLIENT,
	VDISET_SIDES
};

static inline enum vdiset_side vdiset_peer_side(enum vdiset_side side)
{
	return side == VDISET_SERVER ? VDISET_CLIENT : VDISET_SERVER;
}

/* The identity of a process for other parties. Owns a reference to @pid. */
struct vdiset_identity {
	u32 role;
	struct pid *pid;
	kuid_t uid;
	kgid_t gid;
	char comm[TASK_COMM_LEN];
};

/**
 * struct vdiset_party - a process that takes part in a set
 * @ref: held by its set file and device files
 * @set: holds a reference
 * @node: entry in the list of its set's members, under set->lock; empty before it has
 *	joined, and for observers
 * @account: account of its user, charged with it; holds a reference
 * @who: its identity; constant
 * @owner: table of descriptors of the process when it joined. Only compared, never
 *	dereferenced: the table may be gone, after it has flushed the party's files
 * @may_write: may abort the set; an observer may lack it
 * @left: has left the set, in order or not; under set->lock
 */
struct vdiset_party {
	struct kref ref;
	struct vdiset_set *set;
	struct list_head node;
	struct vdiset_account *account;
	struct vdiset_identity who;
	fl_owner_t owner;
	bool may_write;
	bool left;
};

/* private_data of a set file. @party is set once, by CREATE or ATTACH. */
struct vdiset_file {
	struct mutex bind_lock;
	struct vdiset_party *party;
	unsigned int fd_hint;		/* for vdiset_holds_file() */
};

/* The last step of joining: a reader of file->party sees a complete party. */
static inline void vdiset_file_bind(struct vdiset_file *file,
				    struct vdiset_party *party)
{
	/* pairs with the acquire in vdiset_file_party() */
	smp_store_release(&file->party, party);
}

/* NULL before the file is bound. */
static inline struct vdiset_party *
vdiset_file_party(const struct vdiset_file *file)
{
	/* pairs with the release in vdiset_file_bind() */
	return smp_load_acquire(&file->party);
}

/*
 * The pages of a side's region. The kernel uses only @head, in the first page; the whole
 * region is contiguous in user space only.
 */
struct vdiset_pages {
	struct page **page;
	unsigned int count;
	struct vdiset_region *head;
};

/**
 * struct vdiset_device - a virtual device, a slot of its set
 * @set: its set
 * @index: its index in the set
 * @state: enum vdiset_device_state
 * @name_len: 0 while it has no name
 * @name: its name
 * @opened: by side, whether it was ever opened
 * @user: by side, the file that has it open, or NULL; dereferenced only under
 *	set->lock, because the file may be about to be freed
 * @wait: by side, the queue its threads sleep in
 * @waited_ns: by side, how long it has waited for the other side
 * @waiting_since: by side, when it fell asleep (ktime_get()); 0 when it is awake or was
 *	kicked. A statistic: of several sleeping threads the first one counts
 * @state_page: the page that only the kernel writes and both sides read
 * @region: by side, the region that it writes
 */
struct vdiset_device {
	struct vdiset_set *set;
	u32 index;
	u32 state;
	u32 name_len;
	char name[VDISET_NAME_MAX + 1];
	bool opened[VDISET_SIDES];
	struct vdiset_device_file *user[VDISET_SIDES];
	wait_queue_head_t wait[VDISET_SIDES];
	atomic64_t waited_ns[VDISET_SIDES];
	atomic64_t waiting_since[VDISET_SIDES];
	struct page *state_page;
	struct vdiset_pages region[VDISET_SIDES];
};

/*
 * private_data of a device file. @who and @owner are of the process that opened it, which
 * may be a child of the process that joined the set.
 */
struct vdiset_device_file {
	struct vdiset_party *party;
	struct vdiset_identity who;
	struct vdiset_device *device;	/* NULL before it is claimed */
	enum vdiset_side side;
	fl_owner_t owner;
	unsigned int fd_hint;		/* for vdiset_holds_file() */
};

/* The head of a side's region. That side may change it at any time: read words once. */
static inline struct vdiset_region *
vdiset_device_region(const struct vdiset_device *device, enum vdiset_side side)
{
	return device->region[side].head;
}

/* Is the ring that @side consumes not empty? */
static inline bool vdiset_device_pending(const struct vdiset_device *device,
					 enum vdiset_side side)
{
	const struct vdiset_region *own = vdiset_device_region(device, side);
	const struct vdiset_region *peer =
		vdiset_device_region(device, vdiset_peer_side(side));

	return READ_ONCE(peer->tail) != READ_ONCE(own->head);
}

/**
 * struct vdiset_set - a virtual device set
 * @ref: held by parties and, during a request, by look-ups
 * @rcu: for freeing the set after a grace period
 * @by_name: entry in the table of names, under vdiset_names_lock
 * @id: number, never reused; 0 before the set is published
 * @creator: effective user of the creator, to whom the name belongs
 * @name_len: 0 for a set without a name
 * @name: name
 * @uid: owner
 * @gid: group
 * @mode: permission bits
 * @cred: credentials of the creator; capabilities are checked in its user namespace
 * @created: CLOCK_BOOTTIME
 * @config_lock: see above
 * @requested: size of the area that END_CONFIG will allocate; under @config_lock
 * @rings: whether rings are allocated and charged; under @config_lock
 * @area: file of the buffer area, set once under @config_lock
 * @lock: see above
 * @state: enum vdiset_set_state
 * @config: configuration; buffer_area_size is the size that may be mapped
 * @rate: rate limit in bytes per second that clients keep to; 0 = none
 * @members: parties except observers, until their last file is released: rings and area
 *	exist as long as the list is not empty, and their charge moves along it
 * @charged_to: the member that rings and area are charged to; NULL while there are none
 * @primary: NULL after it has left
 * @server: NULL before it has attached and after it has left
 * @secondaries: number of secondaries that are attached
 * @closed: number of devices that the server has closed
 * @abort: abort record, except the process
 * @abort_by: the process of the abort record; role 0 while the set is not aborted
 * @watch: checks for exiting processes, see death.c
 * @events: number of kicks by clients, for WAIT
 * @wait: queue for a change of @state
 * @server_wait: queue for a change of @events
 * @device: config.device_count devices
 */
struct vdiset_set {
	struct kref ref;
	struct rcu_head rcu;
	struct hlist_node by_name;
	u64 id;
	kuid_t creator;
	u32 name_len;
	char name[VDISET_NAME_MAX + 1];
	kuid_t uid;
	kgid_t gid;
	u32 mode;
	const struct cred *cred;
	u64 created;

	struct mutex config_lock;
	u64 requested;
	bool rings;
	struct file *area;

	spinlock_t lock;
	u32 state;
	struct vdiset_config config;
	u64 rate;
	struct list_head members;
	struct vdiset_party *charged_to;
	struct vdiset_party *primary;
	struct vdiset_party *server;
	unsigned int secondaries;
	unsigned int closed;
	struct vdiset_abort_record abort;
	struct vdiset_identity abort_by;

	struct delayed_work watch;

	atomic_t events;
	wait_queue_head_t wait;
	wait_queue_head_t server_wait;

	struct vdiset_device device[];
};

/* A reader that sees a state also sees everything before the change to it. */
static inline u32 vdiset_set_state(const struct vdiset_set *set)
{
	/* pairs with the release in vdiset_set_enter() */
	return smp_load_acquire(&set->state);
}

/* As above, for a device: after CLOSED the tails do not change. */
static inline u32 vdiset_device_state(const struct vdiset_device *device)
{
	/* pairs with the release in vdiset_device_close_ioctl() */
	return smp_load_acquire(&device->state);
}

/*
 * Wake all waiting threads: none is exclusive, and an abort must reach each of them.
 * Contains barrier (H) of the ring rules.
 */
static inline void vdiset_wake(wait_queue_head_t *queue)
{
	if (wq_has_sleeper(queue))
		wake_up_all(queue);
}

/* The argument of a request; ioctl.c copies it in and out. */
union vdiset_args {
	u32 size;
	struct vdiset_info info;
	struct vdiset_create create;
	struct vdiset_attach attach;
	struct vdiset_get_config get_config;
	struct vdiset_configure configure;
	struct vdiset_name_device name_device;
	struct vdiset_request_buffers request_buffers;
	struct vdiset_end_config end_config;
	struct vdiset_open_device open_device;
	struct vdiset_abort abort;
	struct vdiset_status status;
	struct vdiset_device_status device_status;
	struct vdiset_list list;
	struct vdiset_close close;
	struct vdiset_set_rate set_rate;
	struct vdiset_device_close device_close;
};

/**
 * struct vdiset_call - a request that is being executed, except WAIT and DEVICE_WAIT
 * @filp: the file of the ioctl
 * @file: its private data if it is a set file, or NULL
 * @device_file: its private data if it is a device file, or NULL
 * @party: the party of the file; NULL for an unbound set file
 * @args: the kernel's copy of the argument
 * @uargs: the caller's structure
 * @usize: size of the caller's structure
 * @ksize: size of the structure in this kernel
 */
struct vdiset_call {
	struct file *filp;
	struct vdiset_file *file;
	struct vdiset_device_file *device_file;
	struct vdiset_party *party;
	union vdiset_args *args;
	void __user *uargs;
	u32 usize;
	u32 ksize;
};

/* The core clears VM_SHARED where the file is not open for writing. */
static inline int vdiset_check_shared(const struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_SHARED)
		return 0;
	return vma->vm_flags & VM_MAYSHARE ? -EACCES : -EINVAL;
}

/* Result of a handler that has copied its answer out itself. */
#define VDISET_RESPONDED	1

/* args.c */
int vdiset_respond(const struct vdiset_call *call);
int vdiset_copy_args(void *args, u32 size, u32 min_size,
		     const void __user *uargs, u32 *usize);
int vdiset_copy_name(char *name, u64 uname, u32 len);

/* state.c */
void vdiset_set_enter(struct vdiset_set *set, u32 state);
int vdiset_state_error(const struct vdiset_set *set, u32 state);
void vdiset_device_publish(struct vdiset_device *device);

/* main.c */
extern const struct file_operations vdiset_file_fops;

/* set.c */
void vdiset_sets_init(void);
unsigned int vdiset_sets_number(void);
int vdiset_set_publish(struct vdiset_set *set);
struct vdiset_set *vdiset_set_by_name(kuid_t creator, const char *name,
				      u32 len);
struct vdiset_set *vdiset_set_by_id(u64 id);
struct vdiset_set *vdiset_set_after(u64 *id);
void vdiset_set_put(struct vdiset_set *set);
void vdiset_set_retire(struct vdiset_set *set);
u32 vdiset_set_access(const struct vdiset_set *set);
bool vdiset_is_final(u32 state);

/* join.c */
int vdiset_create_ioctl(struct vdiset_call *call);
int vdiset_attach_ioctl(struct vdiset_call *call);

/* identity.c */
void vdiset_identity_get(struct vdiset_identity *who, u32 role);
void vdiset_identity_copy(struct vdiset_identity *to,
			  const struct vdiset_identity *from);
void vdiset_identity_put(struct vdiset_identity *who);
void vdiset_identity_fill(const struct vdiset_identity *who,
			  struct vdiset_peer *peer);

/* party.c */
void vdiset_add_member(struct vdiset_party *party);
struct vdiset_party *vdiset_party_new(struct vdiset_set *set, u32 role,
				      bool may_write);
struct vdiset_party *vdiset_party_get(struct vdiset_party *party);
void vdiset_party_put(struct vdiset_party *party);
enum vdiset_side vdiset_party_side(const struct vdiset_party *party);
bool vdiset_holds_file(struct file *file, unsigned int *fd_hint);
bool vdiset_owner_leaves(struct file *file, fl_owner_t id, fl_owner_t owner,
			 unsigned int *fd_hint);
bool vdiset_party_leave(struct vdiset_party *party, bool died);
void vdiset_party_died(struct vdiset_party *party);
int vdiset_close_ioctl(struct vdiset_call *call);

/* death.c */
void vdiset_watch_init(struct vdiset_set *set);
void vdiset_watch_start(struct vdiset_set *set);

/* config.c */
int vdiset_get_config_ioctl(struct vdiset_call *call);
int vdiset_configure_ioctl(struct vdiset_call *call);
int vdiset_name_device_ioctl(struct vdiset_call *call);
int vdiset_request_buffers_ioctl(struct vdiset_call *call);
int vdiset_end_config_ioctl(struct vdiset_call *call);

/* rate.c */
int vdiset_set_rate_ioctl(struct vdiset_call *call);

/* pinned.c */
u64 vdiset_pinned_keep(struct address_space *mapping,
		       struct vdiset_account *account, u64 bytes);
void vdiset_pinned_exit(void);

/* area.c */
int vdiset_area_init(void);
void vdiset_area_exit(void);
u64 vdiset_area_round(const struct vdiset_set *set, u64 bytes);
int vdiset_area_grow(struct vdiset_set *set, u64 bytes);
void vdiset_area_discard(struct vdiset_set *set, u64 size);
void vdiset_area_free(struct vdiset_set *set);
u64 vdiset_area_hand_over(struct vdiset_set *set, struct vdiset_account *to);
int vdiset_area_mmap(struct vdiset_set *set, struct vm_area_struct *vma);
unsigned long vdiset_area_get_unmapped(struct vdiset_set *set,
				       unsigned long addr, unsigned long len,
				       unsigned long pgoff, unsigned long flags);

/* limits.c */
void vdiset_limits_init(void);
struct vdiset_account *vdiset_account_get(void);
struct vdiset_account *vdiset_account_hold(struct vdiset_account *account);
void vdiset_account_put(struct vdiset_account *account);
void vdiset_account_move(struct vdiset_account *from,
			 struct vdiset_account *to, u64 rings, u64 bytes);
int vdiset_charge_party(struct vdiset_account *account, bool set);
void vdiset_uncharge_party(struct vdiset_account *account, bool set);
int vdiset_charge_area(struct vdiset_account *account, u64 size, u64 bytes);
void vdiset_uncharge_area(struct vdiset_account *account, u64 bytes);
int vdiset_charge_rings(struct vdiset_account *account, u64 bytes);
void vdiset_uncharge_rings(struct vdiset_account *account, u64 bytes);
void vdiset_limits_fill(struct vdiset_info *info);

/* rings.c */
size_t vdiset_region_size(u32 depth);
int vdiset_devices_alloc(struct vdiset_set *set, u32 depth);
void vdiset_devices_free(struct vdiset_set *set);
u64 vdiset_rings_size(const struct vdiset_set *set);
struct vdiset_device *vdiset_device_find(struct vdiset_set *set,
					 const char *name, u32 len);

/* ring_mmap.c */
int vdiset_device_mmap(struct file *file, struct vm_area_struct *vma);

/* device.c */
int vdiset_open_device_ioctl(struct vdiset_call *call);

/* wait.c */
int vdiset_configured(const struct vdiset_set *set);
int vdiset_wait_ioctl(struct vdiset_party *party,
		      struct vdiset_wait __user *uargs);
int vdiset_device_wait_ioctl(struct vdiset_device_file *file,
			     const struct vdiset_device_wait __user *uargs);
int vdiset_wait_configured(struct vdiset_set *set, s64 timeout_ns);
u64 vdiset_device_waited(const struct vdiset_device *device,
			 enum vdiset_side side);

/* poll.c */
__poll_t vdiset_file_poll(struct file *file, poll_table *table);
__poll_t vdiset_device_poll(struct file *file, poll_table *table);

/* abort.c */
bool vdiset_abort_locked(struct vdiset_set *set, u32 reason,
			 const struct vdiset_identity *by);
void vdiset_abort_wake(struct vdiset_set *set);
int vdiset_abort_ioctl(struct vdiset_call *call);

/* status.c */
int vdiset_info_ioctl(struct vdiset_call *call);
int vdiset_status_ioctl(struct vdiset_call *call);
int vdiset_device_status_ioctl(struct vdiset_call *call);
int vdiset_list_ioctl(struct vdiset_call *call);
void vdiset_file_show_fdinfo(struct seq_file *m, struct file *file);
void vdiset_device_show_fdinfo(struct seq_file *m, struct file *file);

#endif /* VDISET_H */
