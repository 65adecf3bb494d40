# cmake --install: the program with its completions and manual pages, which it writes itself; the libraries with their
# headers, a package for find_package(Ingot) and a .pc file. cpack makes a .deb of it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS ingot RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET ingot-calibrate)
  install(TARGETS ingot-calibrate OPTIONAL RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(CODE "
  set(ingot \"$<TARGET_FILE:ingot>\")
  set(to \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
  function(ingot_page file)
    execute_process(COMMAND \${ingot} help \${ARGN} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
    file(WRITE \"\${to}/${CMAKE_INSTALL_DATADIR}/\${file}\" \"\${text}\")
  endfunction()
  ingot_page(bash-completion/completions/ingot completion bash)
  ingot_page(zsh/site-functions/_ingot completion zsh)
  ingot_page(fish/vendor_completions.d/ingot.fish completion fish)
  ingot_page(man/man1/ingot.1 man)
  foreach(command pack run eval analyze inspect verify bench calibrate tune tune-exits export keygen sign imatrix)
    ingot_page(man/man1/ingot-\${command}.1 man \${command})
  endforeach()")

set(rooms base files untrusted artifact codecs stored model loader inspect calibration calibration_cpu pack jobs)
set(targets ingot_flags)
foreach(room ${rooms})
  list(APPEND targets ingot_${room})
endforeach()
if(TARGET blake3)  # built here; else it is the system's
  list(APPEND targets blake3)
endif()
install(TARGETS ${targets} EXPORT IngotTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/ingot)
install(EXPORT IngotTargets NAMESPACE Ingot:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Ingot)
foreach(room base files untrusted artifact codecs stored model loader inspect calibration pack jobs)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${room} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ingot FILES_MATCHING
          PATTERN "*.h" PATTERN "torch" EXCLUDE)
endforeach()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/IngotConfig.cmake.in ${PROJECT_BINARY_DIR}/IngotConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Ingot)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/IngotConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/IngotConfig.cmake ${PROJECT_BINARY_DIR}/IngotConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindHtscodecs.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Ingot)

# Highest first: a static library is followed by what it needs.
set(libraries)
foreach(target ${targets})
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    list(PREPEND libraries -l${target})
  endif()
endforeach()
string(REPLACE ";" " " libraries "${libraries}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/ingot.pc.in ${PROJECT_BINARY_DIR}/ingot.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ingot.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
# What every --json prints.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/schemas DESTINATION ${CMAKE_INSTALL_DATADIR}/ingot)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ingot)
set(CPACK_PACKAGE_CONTACT "The Ingot authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Casts a large language model into one compact, verifiable file, and runs it")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libtbb-dev, libzstd-dev, libssl-dev, libfmt-dev, libpcre2-dev, libutf8proc-dev, libhtscodecs-dev, libeigen3-dev, nlohmann-json3-dev")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
include(CPack)
