defmodule ShapeRouter.TelemetryTest do
  use ExUnit.Case

  alias ShapeRouter.Changes.NewRecord
  alias ShapeRouter.{Filter, Prometheus, Registry, Shape, Telemetry}

  doctest Prometheus

  defp router do
    {:ok, router} = ShapeRouter.new("t", "todos", columns: [n: :int8])
    :ok = ShapeRouter.add_shape(router, 1, "10 / n > 2")
    router
  end

  defp insert(n), do: %{op: :insert, new_record: %{"n" => "#{n}"}}

  test "one call in 64 is told" do
    :telemetry.listen([:shape_router, :route])
    router = router()
    # Each scheduler counts the calls that it runs, and other tests' routers with them.
    schedulers = System.schedulers()
    for _ <- 1..(640 * schedulers), do: assert(ShapeRouter.route(router, insert(1)) == [1])
    told = told([])
    assert length(told) in (9 * schedulers)..(11 * schedulers)

    for {measurements, metadata} <- told do
      assert %{duration: duration, hits: 1} = measurements
      assert duration > 0 and duration < System.convert_time_unit(60, :second, :native)
      assert metadata == %{source: :router}
    end

    filter = Filter.new(filter: :native)
    filter = Filter.add_shape(filter, 1, %Shape{root_table: {"a", "b"}, where: nil})
    change = %NewRecord{relation: {"a", "b"}, record: %{}}
    for _ <- 1..64, do: Filter.affected_shapes(filter, change)
    assert_received {:telemetry, _, %{hits: 1}, %{source: :filter}}
  end

  defp told(told) do
    receive do
      {:telemetry, _, measurements, metadata} -> told([{measurements, metadata} | told])
    after
      0 -> told
    end
  end

  test "a rebuild is told from its start to its stop" do
    :telemetry.listen([:shape_router, :rebuild, :start])
    :telemetry.listen([:shape_router, :rebuild, :stop])
    router = router()
    assert ShapeRouter.rebuild(router) == :ok
    assert_received {:telemetry, [_, :rebuild, :start], %{system_time: _}, %{router: ^router}}
    assert_received {:telemetry, [_, :rebuild, :stop], %{duration: _}, %{result: :ok}}
  end

  test "what clauses raise is told from time to time, once" do
    :telemetry.listen([:shape_router, :eval, :error])
    router = router()
    Telemetry.watch(router, tenant: "t", table: "raises")
    for _ <- 1..3, do: ShapeRouter.route(router, insert(0))
    Telemetry.poll()
    assert_received {:telemetry, _, %{count: 3}, %{tenant: "t", table: "raises"}}
    Telemetry.poll()
    refute_received {:telemetry, _, _, %{table: "raises"}}
    Telemetry.unwatch(router)
    ShapeRouter.route(router, insert(0))
    Telemetry.poll()
    refute_received {:telemetry, _, _, %{table: "raises"}}
  end

  test "a router is let go when who watched it ends" do
    task =
      Task.async(fn ->
        for table <- ["ends", "ends too"],
            do: Telemetry.watch(router(), tenant: "t", table: table)

        assert Prometheus.metrics() =~ ~s(table="ends too")
      end)

    Task.await(task)
    monitor = Process.monitor(task.pid)
    assert_receive {:DOWN, ^monitor, _, _, _}
    Telemetry.poll()
    refute Prometheus.metrics() =~ ~s(table="ends)
  end

  test "every event that is told has its line in the documentation, and the other way round" do
    {:docs_v1, _, _, _, %{"en" => page}, _, _} = Code.fetch_docs(Telemetry)
    listed = for [_, event] <- Regex.scan(~r/^\| `(\[:shape_router[^`]+\])`/m, page), do: event
    assert Enum.sort(listed) == Telemetry.events() |> Enum.map(&inspect/1) |> Enum.sort()
  end

  describe "the exposition" do
    # Every line as Prometheus reads it: `# HELP`, `# TYPE`, or a sample; each family together and once.
    defp families(text) do
      assert String.ends_with?(text, "\n")
      label = ~S/[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"/
      sample = ~r/\A([a-z_]+)(\{(?:#{label}(?:,#{label})*)\})? (-?[0-9.e+-]+)\z/

      text
      |> String.split("\n", trim: true)
      |> Enum.reduce([], fn
        "# HELP " <> rest, families ->
          [name, _help] = String.split(rest, " ", parts: 2)
          [{name, nil, []} | families]

        "# TYPE " <> rest, [{name, nil, []} | families] ->
          assert [^name, kind] = String.split(rest, " ")
          [{name, kind, []} | families]

        line, [{name, kind, samples} | families] ->
          assert [_, metric, labels, value] = Regex.run(sample, line), "no sample: #{line}"
          assert String.starts_with?(metric, name)
          [{name, kind, [{metric, labels, value} | samples]} | families]
      end)
      |> Map.new(fn {name, kind, samples} -> {name, {kind, Enum.reverse(samples)}} end)
    end

    test "is valid, whatever tenants are called" do
      names = ["plain", ~s(quo"ted), "back\\slash", "new\nline", <<"no utf", 255>>, "{},=", ""]

      for name <- names do
        {:ok, router} = Registry.router(name, "todos", columns: [n: :int8])
        :ok = ShapeRouter.add_shape(router, 1, "n = 1")
        ShapeRouter.route(router, insert(1))
      end

      on_exit(fn -> for name <- names, do: Registry.drop(name) end)
      families = families(Prometheus.metrics())

      for {name, {kind, _samples}} <- families do
        assert String.starts_with?(name, "shape_router_")
        assert kind in ["counter", "gauge", "histogram"]
        assert kind != "counter" or String.ends_with?(name, "_total")
        assert kind != "histogram" or String.ends_with?(name, "_seconds")
      end

      {"gauge", shapes} = families["shape_router_shapes"]
      ours = for {_, labels, "1"} <- shapes, labels =~ ~s(table="todos"), do: labels
      assert length(Enum.uniq(ours)) >= length(names)
      assert String.valid?(Prometheus.metrics())

      {"counter", [{_, "", changes}]} =
        families(Prometheus.metrics(labels: []))["shape_router_changes_total"]

      assert String.to_integer(changes) >= length(names)
    end

    test "has histograms whose buckets add up" do
      router = router()
      for _ <- 1..1_000, do: ShapeRouter.route(router, insert(1))

      {"histogram", samples} =
        families(Prometheus.metrics())["shape_router_route_duration_seconds"]

      of_routers = for {name, labels, value} <- samples, labels =~ "router", do: {name, value}

      counts =
        for {"shape_router_route_duration_seconds_bucket", value} <- of_routers,
            do: String.to_integer(value)

      assert counts == Enum.sort(counts)
      {_, total} = List.keyfind(of_routers, "shape_router_route_duration_seconds_count", 0)
      assert List.last(counts) == String.to_integer(total)
      assert List.last(counts) >= 15
    end

    test "each metric has its line in docs/operations.md" do
      page = Path.expand("../docs/operations.md", __DIR__) |> File.read!()

      for {name, _family} <- families(Prometheus.metrics()),
          do: assert(page =~ "`#{name}`", "docs/operations.md does not say what #{name} is")

      for [name] <- Regex.scan(~r/shape_router_[a-z_]+_(?:total|seconds|bytes)\b/, page),
          do: assert(is_map_key(families(Prometheus.metrics()), name), "there is no #{name}")
    end
  end
end
