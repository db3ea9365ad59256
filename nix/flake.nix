# Parsed, not yet evaluated against nixpkgs: report what does not work.
#
# The package, and a shell with every tool that the tests need. Use it from the root of the repository:
#
#     nix develop ./nix        then `cargo xtask test`
#     nix build ./nix          the `bootway` program
#     nix run ./nix -- build
{
  description = "bootway: a slipway for things that boot";

  # Of a branch and not of a commit: rustc must be 1.95 or later.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { nixpkgs, ... }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      # What bootway itself starts; the same list as `Tool` in crates/exec. QEMU comes with UEFI firmware.
      tools = [ pkgs.gnupg pkgs.e2fsprogs pkgs.kmod pkgs.nix pkgs.openssh pkgs.qemu pkgs.swtpm ];
      # The tools that must agree with ours.
      witnesses = [
        pkgs.bash
        pkgs.bc
        pkgs.binutils
        pkgs.bison
        pkgs.pkgsStatic.busybox
        pkgs.cpio
        pkgs.cryptsetup
        pkgs.dosfstools
        pkgs.dropbear
        pkgs.fish
        pkgs.flex
        pkgs.gcc
        pkgs.genimage
        pkgs.git
        pkgs.gnumake
        pkgs.gptfdisk
        pkgs.gzip
        pkgs.libelf
        pkgs.mmdebstrap
        pkgs.mtools
        pkgs.openssl
        pkgs.python3
        pkgs.shadow
        pkgs.skopeo
        pkgs.squashfs-tools-ng
        pkgs.squashfsTools
        pkgs.umoci
        pkgs.util-linux
        pkgs.vboot_reference
        pkgs.xfsprogs
        pkgs.xorriso
        pkgs.xz
        pkgs.zip
        pkgs.zsh
        pkgs.zstd
      ];
      bootway = pkgs.rustPlatform.buildRustPackage {
        pname = "bootway";
        version = "0.1.0";
        src = ../.;
        cargoLock.lockFile = ../Cargo.lock;
        cargoBuildFlags = [ "--package" "bootway" ];
        # The tests boot machines and look at the repository: `nix develop` and `cargo xtask test` run them.
        doCheck = false;
        nativeBuildInputs = [ pkgs.makeWrapper ];
        postInstall = ''
          wrapProgram $out/bin/bootway --prefix PATH : ${pkgs.lib.makeBinPath tools}
        '';
        meta = {
          description = "Plan, build, boot and prove bootable images";
          license = [ pkgs.lib.licenses.mit pkgs.lib.licenses.asl20 ];
          mainProgram = "bootway";
          platforms = [ system ];
        };
      };
    in
    {
      packages.${system} = {
        inherit bootway;
        default = bootway;
      };
      apps.${system}.default = {
        type = "app";
        program = "${bootway}/bin/bootway";
      };
      devShells.${system}.default = pkgs.mkShell {
        packages = tools ++ witnesses ++ [
          pkgs.cargo
          pkgs.cargo-insta
          pkgs.cargo-nextest
          pkgs.clippy
          pkgs.just
          pkgs.rust-analyzer
          pkgs.rustc
          pkgs.rustfmt
        ];
        # The kernel that the machine tests boot; Debian has one in /boot.
        BOOTWAY_TEST_KERNEL = "${pkgs.linux}/bzImage";
      };
      checks.${system}.package = bootway;
      formatter.${system} = pkgs.nixfmt;
    };
}
