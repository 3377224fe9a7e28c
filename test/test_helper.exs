# `bin/test --long` sets it: suites that take minutes are left out otherwise.
long? = System.get_env("SHAPE_ROUTER_LONG", "") not in ["", "0"]
# Benchmarks run when they are asked for: `mix test --only benchmark`.
ExUnit.start(exclude: if(long?, do: [:benchmark], else: [:benchmark, :long]))

{:ok, _} = Registry.start_link(keys: :duplicate, name: :telemetry_listeners)
