# cmake --install BUILD [--prefix DIR]: the programs, a manual page of each and of each command, the client library with its header
# and what pkg-config says of it. ops/conf and ops/systemd are for who makes a package.
include(GNUInstallDirs)

install(TARGETS storaged indexer gribstore-decoder gribstore RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(TARGETS gribstore_shared LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES client/gribstore.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
# The place may be chosen as late as --prefix: the file says where it is from where it lies.
file(RELATIVE_PATH prefix_from_pc "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(ops/cmake/gribstore.pc.in "${PROJECT_BINARY_DIR}/generated/gribstore.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/generated/gribstore.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# The programs print their pages themselves, from the tables that make --help.
install(CODE "set(BIN \"${CMAKE_RUNTIME_OUTPUT_DIRECTORY}\")
set(MAN \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1\")")
install(SCRIPT ops/cmake/InstallManuals.cmake)
