/* Modbus TCP on libmodbus, from either end: a PLC's registers that the bridge writes into, or a PLC that polls the bridge.
 *
 *     modbus_peer server|client PORT
 *
 * Values of two registers are put together by libmodbus's own macros, for numbers with their high word first.
 */
#include <errno.h>
#include <math.h>
#include <modbus/modbus.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

enum { REGISTERS = 1000, ORDER = 8192 };

static modbus_t *bus;
static modbus_mapping_t *image; /* of a server: what the other side reads and writes; of a client: its copy */
static bool is_server;

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

static bool refuse(void)
{
    printf("refused %s\n", modbus_strerror(errno));
    return false;
}

/* Register and, where one is given, value of a word like u32@184=70000; returns how many registers it takes, 0 for none. */
static int parse(const char *word, int *at, double *value)
{
    char type[4];
    *value = 0;
    if (sscanf(word, "%3[a-z0-9]@%d=%lf", type, at, value) < 2)
        return 0;
    int width = strcmp(type, "u16") ? 2 : 1;
    return *at >= 0 && *at + width <= REGISTERS ? width : 0;
}

static bool fetch(int first, int count)
{
    return is_server || modbus_read_registers(bus, first, count, image->tab_registers + first) == count || refuse();
}

static bool send_out(int first, int count)
{
    return is_server || modbus_write_registers(bus, first, count, image->tab_registers + first) == count || refuse();
}

static void carry_out(char *order)
{
    char *words[512];
    int count = 0, first = REGISTERS, end = 0, at;
    double value;
    for (char *word = strtok(order, " \n"); word && count < 512; word = strtok(NULL, " \n"))
        words[count++] = word;
    bool writes = count && !strcmp(words[0], "write");
    for (int i = 1; i < count; i++) {
        int width = parse(words[i], &at, &value);
        if (!width) {
            printf("refused no such register: %s\n", words[i]);
            return;
        }
        first = at < first ? at : first;
        end = at + width > end ? at + width : end;
        if (writes && width == 1)
            image->tab_registers[at] = (uint16_t)value;
        else if (writes)
            MODBUS_SET_INT32_TO_INT16(image->tab_registers, at, (uint32_t)value);
    }
    if (writes) {
        if (send_out(first, end - first))
            puts("ok");
        return;
    }
    if (!fetch(first, end - first))
        return;
    for (int i = 1; i < count; i++) {
        const uint16_t *registers = image->tab_registers;
        int width = parse(words[i], &at, &value);
        if (words[i][0] == 'f')
            printf("%.9g ", modbus_get_float_abcd(registers + at));
        else
            printf("%u ", width == 1 ? registers[at] : (uint32_t)MODBUS_GET_INT32_FROM_INT16(registers, at));
    }
    putchar('\n');
}

/* One request of the client, or its end. */
static int answer(int client)
{
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    int length = modbus_receive(bus, request);
    if (length < 0) {
        close(client);
        return -1;
    }
    if (length > 0)
        modbus_reply(bus, request, length, image);
    return client;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    is_server = !strcmp(argv[1], "server");
    bus = modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    image = modbus_mapping_new(0, 0, REGISTERS, 0);
    if (!bus || !image)
        die("no memory");
    setvbuf(stdin, NULL, _IONBF, 0); /* what select tells of must not lie in a buffer */
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = -1, client = -1;
    if (is_server && (listener = modbus_tcp_listen(bus, 1)) < 0)
        die("listen");
    if (!is_server && modbus_connect(bus) < 0)
        die("connect");
    puts("ready");
    for (;;) {
        char order[ORDER];
        fd_set ready;
        FD_ZERO(&ready);
        FD_SET(STDIN_FILENO, &ready);
        if (listener >= 0)
            FD_SET(listener, &ready);
        if (client >= 0)
            FD_SET(client, &ready);
        if (select((client > listener ? client : listener) + 1 + (listener < 0), &ready, NULL, NULL, NULL) < 0)
            die("select");
        if (client >= 0 && FD_ISSET(client, &ready))
            client = answer(client);
        if (listener >= 0 && FD_ISSET(listener, &ready)) {
            if (client >= 0)
                close(client);
            client = modbus_tcp_accept(bus, &listener);
        }
        if (FD_ISSET(STDIN_FILENO, &ready)) {
            if (!fgets(order, sizeof order, stdin))
                return 0;
            carry_out(order);
        }
    }
}
