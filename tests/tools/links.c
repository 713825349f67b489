/* links.c: hosts on one machine, and wires between them that are cut, slow or lossy on command.
 *
 *     links [--net A.B.C] NAME...          host i gets the address A.B.C.i (default 10.77.0)
 *
 * A host is a network namespace without a name: it holds a loopback device and a TUN device, whose packets come here and go
 * out at the TUN device of the host that has their address. Between every ordered pair of hosts there is a wire of its own;
 * all of them are up, at once and without loss, until told otherwise. Whoever holds PID's descriptor FD open, or runs in it,
 * is in that namespace (setns, or `nsenter --net=/proc/PID/fd/FD`); when the last one has gone the kernel takes it away, so
 * nothing is left behind however this process ends.
 *
 * On standard output first a line a host, `host NAME ADDRESS FD`, then `ready PID`. Then a line is read and answered:
 *
 *     cut A B          what A sends to B is thrown away            join A B    and is carried again
 *     delay A B MS     it takes so long (at most a minute)         loss A B N  N of 100 packets are thrown away
 *     heal             every wire is as at the beginning           add NAME    another host: answered like `host`
 *     counts A B       -> `ok CARRIED DROPPED` packets from A to B since the beginning
 *
 * with `ok ...` or `error TEXT`. It ends with its standard input. Needs root. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    HOSTS_MAX = 32,
    NAME_SIZE = 32,
    LINE_SIZE = 256,
    PACKET_SIZE_MAX = 16 << 10,
    PACKETS_A_TURN = 256,      /* of a host, before others are looked at */
    HELD_BYTES_MAX = 64 << 20, /* on slow wires; what does not fit is lost, as in a full router */
    DELAY_MAX_MS = 60000,
    DESTINATION_AT = 16, /* in an IPv4 header */
    HEADER_SIZE = 20,
};

/* A packet on a slow wire. */
struct held {
    struct held *next;
    uint64_t due_ms;
    size_t size;
    uint8_t bytes[];
};

struct wire {
    bool cut;
    unsigned delay_ms, loss_percent;
    uint64_t carried, dropped;
    struct held *first, **last;
};

struct host {
    char name[NAME_SIZE];
    char address[INET_ADDRSTRLEN];
    uint32_t ip; /* network order */
    int tun, net;
};

static struct {
    const char *net;
    int home; /* the namespace that we came from */
    struct host hosts[HOSTS_MAX];
    unsigned hosts_count;
    struct wire wires[HOSTS_MAX][HOSTS_MAX];
    size_t held_bytes;
    char line[LINE_SIZE];
    size_t line_size;
} links = { .net = "10.77.0" };

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- hosts --- */

static int device_up(int fd, struct ifreq *device)
{
    if (ioctl(fd, SIOCGIFFLAGS, device) < 0)
        return -1;
    device->ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, device);
}

static int device_address(int fd, struct ifreq *device, unsigned long request, uint32_t ip)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = ip };

    memcpy(&device->ifr_addr, &address, sizeof address);
    return ioctl(fd, request, device);
}

/* In the host's own namespace: loopback up, and a device that has its address. */
static int host_devices(struct host *host)
{
    struct ifreq loopback = { .ifr_name = "lo" }, device = { .ifr_name = "wire" };
    struct ifreq setup = { .ifr_name = "wire" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setup.ifr_flags = IFF_TUN | IFF_NO_PI;
    host->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    int failed = host->tun < 0 || ioctl(host->tun, TUNSETIFF, &setup) < 0 ||
                 device_up(fd, &loopback) < 0 ||
                 device_address(fd, &device, SIOCSIFADDR, host->ip) < 0 ||
                 device_address(fd, &device, SIOCSIFNETMASK, htonl(0xFFFFFF00)) < 0;
    device.ifr_mtu = PACKET_SIZE_MAX;
    failed = failed || ioctl(fd, SIOCSIFMTU, &device) < 0 || device_up(fd, &device) < 0;
    close(fd);
    return failed ? -1 : 0;
}

static bool is_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return length > 0 && length < NAME_SIZE && name[length] == '\0';
}

static struct host *host_find(const char *name)
{
    for (unsigned i = 0; i < links.hosts_count; i++)
        if (strcmp(links.hosts[i].name, name) == 0)
            return &links.hosts[i];
    return NULL;
}

/* NULL, or what was wrong. */
static const char *host_add(const char *name)
{
    struct host *host = &links.hosts[links.hosts_count];

    if (links.hosts_count == HOSTS_MAX)
        return "there are too many hosts";
    if (!is_name(name) || host_find(name) != NULL)
        return "not a new name";
    snprintf(host->name, sizeof host->name, "%s", name);
    snprintf(host->address, sizeof host->address, "%.11s.%u", links.net, links.hosts_count + 1);
    if (inet_pton(AF_INET, host->address, &host->ip) != 1)
        return "--net is not three numbers";
    if (unshare(CLONE_NEWNET) < 0)
        return strerror(errno);
    int failed = host_devices(host) < 0 ? errno : 0;
    host->net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (setns(links.home, CLONE_NEWNET) < 0 || host->net < 0 || failed != 0)
        return strerror(failed != 0 ? failed : errno);
    for (unsigned i = 0; i <= links.hosts_count; i++) {
        struct wire *there = &links.wires[i][links.hosts_count],
                    *back = &links.wires[links.hosts_count][i];
        there->last = &there->first;
        back->last = &back->first;
    }
    links.hosts_count++;
    return NULL;
}

/* --- packets --- */

/* A device that is full takes no more: as on any wire the packet is lost, and TCP sends it again. */
static void wire_carry(struct wire *wire, const struct host *to, const uint8_t *packet, size_t size)
{
    if (write(to->tun, packet, size) == (ssize_t)size)
        wire->carried++;
    else
        wire->dropped++;
}

static void wire_hold(struct wire *wire, const uint8_t *packet, size_t size)
{
    struct held *held = links.held_bytes + size > HELD_BYTES_MAX ? NULL : malloc(sizeof *held + size);

    if (held == NULL) {
        wire->dropped++;
        return;
    }
    held->next = NULL;
    held->due_ms = now_ms() + wire->delay_ms;
    held->size = size;
    memcpy(held->bytes, packet, size);
    *wire->last = held;
    wire->last = &held->next;
    links.held_bytes += size;
}

static void wire_take(struct wire *wire, const struct host *to, const uint8_t *packet, size_t size)
{
    if (wire->cut || (wire->loss_percent > 0 && (unsigned)(random() % 100) < wire->loss_percent))
        wire->dropped++;
    else if (wire->delay_ms > 0 || wire->first != NULL)
        wire_hold(wire, packet, size);
    else
        wire_carry(wire, to, packet, size);
}

static void host_read(unsigned from)
{
    uint8_t packet[PACKET_SIZE_MAX];

    for (unsigned count = 0; count < PACKETS_A_TURN; count++) {
        ssize_t size = read(links.hosts[from].tun, packet, sizeof packet);
        if (size <= 0)
            return;
        if (size < HEADER_SIZE || packet[0] >> 4 != 4) /* the kernel's own: discovery of neighbours in IPv6 */
            continue;
        for (unsigned to = 0; to < links.hosts_count; to++)
            if (memcmp(packet + DESTINATION_AT, &links.hosts[to].ip, sizeof links.hosts[to].ip) == 0)
                wire_take(&links.wires[from][to], &links.hosts[to], packet, (size_t)size);
    }
}

/* What has been on its way for long enough arrives. A wire that was cut meanwhile has lost it. */
static void wire_arrive(struct wire *wire, const struct host *to, uint64_t now)
{
    while (wire->first != NULL && wire->first->due_ms <= now) {
        struct held *held = wire->first;
        wire->first = held->next;
        if (wire->first == NULL)
            wire->last = &wire->first;
        if (wire->cut)
            wire->dropped++;
        else
            wire_carry(wire, to, held->bytes, held->size);
        links.held_bytes -= held->size;
        free(held);
    }
}

/* All that is due; how long until the next is, -1: nothing is on its way. */
static int wires_arrive(void)
{
    uint64_t now = now_ms(), next = UINT64_MAX;

    for (unsigned from = 0; from < links.hosts_count; from++) {
        for (unsigned to = 0; to < links.hosts_count; to++) {
            struct wire *wire = &links.wires[from][to];
            wire_arrive(wire, &links.hosts[to], now);
            if (wire->first != NULL && wire->first->due_ms < next)
                next = wire->first->due_ms;
        }
    }
    return next == UINT64_MAX ? -1 : (int)(next - now);
}

/* --- what it is told --- */

static void heal(void)
{
    for (unsigned from = 0; from < links.hosts_count; from++) {
        for (unsigned to = 0; to < links.hosts_count; to++) {
            links.wires[from][to].cut = false;
            links.wires[from][to].delay_ms = links.wires[from][to].loss_percent = 0;
        }
    }
}

static void say_host(const char *word, const struct host *host)
{
    printf("%s %s %s %d\n", word, host->name, host->address, host->net);
}

/* Of one wire. NULL: it was done and answered. */
static const char *command_wire(const char *verb, struct wire *wire, unsigned number, bool has_number)
{
    if (strcmp(verb, "counts") == 0) {
        printf("ok %llu %llu\n", (unsigned long long)wire->carried, (unsigned long long)wire->dropped);
        return NULL;
    }
    if (strcmp(verb, "cut") == 0 || strcmp(verb, "join") == 0)
        wire->cut = verb[0] == 'c';
    else if (strcmp(verb, "delay") == 0 && has_number && number <= DELAY_MAX_MS)
        wire->delay_ms = number;
    else if (strcmp(verb, "loss") == 0 && has_number && number <= 100)
        wire->loss_percent = number;
    else
        return "not a command of a wire";
    puts("ok");
    return NULL;
}

static const char *command_run(char *line)
{
    char verb[NAME_SIZE] = "", a[NAME_SIZE] = "", b[NAME_SIZE] = "";
    unsigned number = 0;
    int words = sscanf(line, "%31s %31s %31s %u", verb, a, b, &number);

    if (words == 1 && strcmp(verb, "heal") == 0) {
        heal();
        puts("ok");
        return NULL;
    }
    if (words == 2 && strcmp(verb, "add") == 0) {
        const char *wrong = host_add(a);
        if (wrong == NULL)
            say_host("ok", &links.hosts[links.hosts_count - 1]);
        return wrong;
    }
    struct host *from = host_find(a), *to = host_find(b);
    if (from == NULL || to == NULL)
        return "two hosts are wanted";
    return command_wire(verb, &links.wires[from - links.hosts][to - links.hosts], number, words == 4);
}

/* False: standard input has ended. */
static bool commands_read(void)
{
    ssize_t size = read(STDIN_FILENO, links.line + links.line_size,
                        sizeof links.line - 1 - links.line_size);
    char *end;

    if (size <= 0)
        return false;
    links.line_size += (size_t)size;
    links.line[links.line_size] = '\0';
    while ((end = strchr(links.line, '\n')) != NULL) {
        *end = '\0';
        const char *wrong = command_run(links.line);
        if (wrong != NULL)
            printf("error %s\n", wrong);
        links.line_size -= (size_t)(end + 1 - links.line);
        memmove(links.line, end + 1, links.line_size + 1);
    }
    if (links.line_size == sizeof links.line - 1)
        links.line_size = 0; /* no command is so long */
    return true;
}

static void serve(void)
{
    struct pollfd polls[HOSTS_MAX + 1] = { { .fd = STDIN_FILENO, .events = POLLIN } };

    for (;;) {
        for (unsigned i = 0; i < links.hosts_count; i++)
            polls[i + 1] = (struct pollfd){ .fd = links.hosts[i].tun, .events = POLLIN };
        if (poll(polls, links.hosts_count + 1, wires_arrive()) < 0 && errno != EINTR)
            return;
        for (unsigned i = 0; i < links.hosts_count; i++)
            if (polls[i + 1].revents & POLLIN)
                host_read(i);
        if (polls[0].revents != 0 && !commands_read())
            return;
    }
}

int main(int argc, char **argv)
{
    int first = 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    links.home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (argc > 2 && strcmp(argv[1], "--net") == 0) {
        links.net = argv[2];
        first = 3;
    }
    for (int i = first; i < argc; i++) {
        const char *wrong = links.home < 0 ? strerror(errno) : host_add(argv[i]);
        if (wrong != NULL) {
            fprintf(stderr, "links: host %s: %s\n", argv[i], wrong);
            return 1;
        }
        say_host("host", &links.hosts[links.hosts_count - 1]);
    }
    printf("ready %d\n", (int)getpid());
    serve();
    return 0;
}
