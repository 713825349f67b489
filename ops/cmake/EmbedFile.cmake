# cmake -DFILE= -DOUT= -DSYMBOL= -P EmbedFile.cmake: FILE's bytes and a final 0 as a C array in OUT.c, declared in OUT.h.
file(READ "${FILE}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x..,){20})" "\\1\n" bytes "${bytes}")
get_filename_component(name "${OUT}" NAME)
string(TOUPPER "EMBEDDED_${SYMBOL}_H" guard)
file(WRITE "${OUT}.h" "#ifndef ${guard}\n#define ${guard}\nextern const char ${SYMBOL}[];\n#endif\n")
file(WRITE "${OUT}.c" "#include \"${name}.h\"\nconst char ${SYMBOL}[] = {\n${bytes}0 };\n")
