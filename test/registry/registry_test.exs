defmodule ShapeRouter.RegistryTest do
  use ExUnit.Case

  alias ShapeRouter.{Error, Registry}
  alias ShapeRouter.Registry.Directory

  @columns [columns: [n: :int8, s: :text]]

  setup do
    on_exit(fn ->
      Application.delete_env(:shape_router, Registry)
      for tenant <- Registry.tenants(), do: Registry.drop(tenant)
    end)
  end

  defp configure(config), do: Application.put_env(:shape_router, Registry, config)
  defp change(n), do: %{op: :insert, new_record: %{"n" => "#{n}"}}

  test "a router is made once for a tenant's table" do
    {:ok, router} = Registry.router("a", "todos", @columns)
    :ok = ShapeRouter.add_shape(router, 1, "n = 5")
    assert Registry.router("a", "todos", @columns) == {:ok, router}
    {:ok, other} = Registry.router("a", "users", @columns)
    {:ok, another} = Registry.router("b", "todos", @columns)
    assert Enum.uniq([router, other, another]) == [router, other, another]
    assert ShapeRouter.route(another, change(5)) == []
    assert ShapeRouter.route(router, change(5)) == [1]
    assert Registry.tenants() == ["a", "b"]

    assert %{tables: ["todos", "users"], routers: 2, shapes: 1, bytes: bytes} =
             Registry.usage("a")

    assert bytes > 0
  end

  test "many who ask at once get the same router" do
    routers =
      for(_ <- 1..50, do: Task.async(fn -> Registry.router("a", "todos", @columns) end))
      |> Task.await_many()

    assert [{:ok, _}] = Enum.uniq(routers)
  end

  test "an error of one router is its own" do
    assert {:error, %Error{code: :unknown_type}} =
             Registry.router("a", "todos", columns: [n: :no_type])

    assert {:error, %Error{code: :invalid_argument}} = Registry.router("a", "todos", nonsense: 1)
    assert {:ok, _} = Registry.router("a", "todos", @columns)
  end

  test "nobody is an unknown tenant" do
    assert {:error, %Error{code: :unknown_tenant}} = Registry.usage("nobody")
    assert Registry.drop("nobody") == :ok
    assert Registry.tenants() == []
  end

  test "a dropped tenant is gone, and may begin anew" do
    {:ok, router} = Registry.router("a", "todos", @columns)
    {:ok, kept} = Registry.router("b", "todos", @columns)
    :ok = ShapeRouter.add_shape(kept, 1, "n = 5")
    assert Registry.drop("a") == :ok
    assert {:error, %Error{code: :closed}} = ShapeRouter.route(router, change(5))
    assert Registry.tenants() == ["b"]
    {:ok, anew} = Registry.router("a", "todos", @columns)
    assert ShapeRouter.shapes(anew) == []
    assert ShapeRouter.route(kept, change(5)) == [1]
  end

  test "a tenant that was dropped is not listed any more, however often it comes and goes" do
    {:ok, _kept} = Registry.router("b", "todos", @columns)

    for _ <- 1..200 do
      {:ok, router} = Registry.router("a", "todos", @columns)
      assert Registry.tenants() == ["a", "b"]
      :ok = ShapeRouter.add_shape(router, 1, "n = 5")
      assert Registry.drop("a") == :ok
      assert Registry.tenants() == ["b"]
    end
  end

  test "limits hold for all routers of a tenant together" do
    configure(limits: [max_shapes: 3, max_routers: 2], tenants: %{"b" => [max_shapes: 5]})
    {:ok, todos} = Registry.router("a", "todos", @columns)
    {:ok, users} = Registry.router("a", "users", @columns)
    assert {:error, %Error{code: :limit_reached}} = Registry.router("a", "third", @columns)

    assert ShapeRouter.add_shapes(todos, [{1, "n = 1"}, {2, "n = 2"}]) == :ok
    assert {:error, error} = ShapeRouter.add_shapes(users, [{1, "n = 1"}, {2, "n = 2"}])
    assert error.code == :limit_reached
    assert error.message == ~s(tenant "a" has reached its limit: max_shapes is 3)
    assert ShapeRouter.shapes(users) == []
    assert ShapeRouter.add_shape(users, 1, "n = 1") == :ok
    assert {:error, %Error{code: :limit_reached}} = ShapeRouter.add_shape(todos, 3, "n = 3")

    # What is refused for another reason takes no room, and what goes gives it back.
    :ok = ShapeRouter.remove_shape(todos, 1)
    assert {:error, %Error{code: :syntax_error}} = ShapeRouter.add_shape(todos, 3, "n =")
    assert {:error, %Error{code: :unknown_shape}} = ShapeRouter.remove_shape(todos, 1)
    assert ShapeRouter.add_shape(todos, 3, "n = 3") == :ok
    assert Registry.usage("a").shapes == 3

    {:ok, other} = Registry.router("b", "todos", @columns)
    assert ShapeRouter.add_shapes(other, for(id <- 1..5, do: {id, nil})) == :ok
    assert Registry.put_limits("b", max_shapes: nil) == :ok
    assert ShapeRouter.add_shape(other, 6, nil) == :ok
    assert {:error, %Error{code: :invalid_argument}} = Registry.put_limits("b", max_shapes: -1)
    assert {:error, %Error{code: :invalid_argument}} = Registry.put_limits("b", shapes: 1)
  end

  test "a limit of bytes holds, and what was too much goes again" do
    {:ok, todos} = Registry.router("a", "todos", @columns)
    {:ok, users} = Registry.router("a", "users", @columns)
    :ok = ShapeRouter.add_shapes(todos, for(id <- 1..2_000, do: {id, "n = #{id}"}))
    limit = Registry.usage("a").bytes + 20_000
    :ok = Registry.put_limits("a", max_bytes: limit)
    # Figures of routers are taken as shapes come.
    :ok = ShapeRouter.add_shape(todos, 3_000, "n = 3")

    many = for id <- 1..5_000, do: {id, "n = #{id}"}
    assert {:error, %Error{code: :limit_reached} = error} = ShapeRouter.add_shapes(users, many)
    assert error.message =~ "max_bytes is #{limit}"
    assert ShapeRouter.shapes(users) == []
    assert Registry.usage("a").shapes == 2_001
    # Routing goes on as it was.
    assert ShapeRouter.route(todos, change(7)) == [7]

    {:ok, other} = Registry.router("b", "users", @columns)
    assert ShapeRouter.add_shapes(other, many) == :ok
  end

  test "a tenant whose process ends takes nobody with it" do
    {:ok, _} = Registry.router("a", "todos", @columns)
    {:ok, other} = Registry.router("b", "todos", @columns)
    :ok = ShapeRouter.add_shape(other, 1, "n = 5")
    pid = Registry.Table.pid("a")
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, _, :killed}
    assert ShapeRouter.route(other, change(5)) == [1]
    # The table hears of the end a moment later.
    eventually(fn -> Registry.tenants() == ["b"] end)
    assert {:ok, anew} = Registry.router("a", "todos", @columns)
    assert ShapeRouter.add_shape(anew, 1, "n = 5") == :ok
  end

  defp eventually(true?, tries \\ 200) do
    unless true?.() do
      assert tries > 0
      Process.sleep(5)
      eventually(true?, tries - 1)
    end
  end

  describe "directories:" do
    test "different names have different ones, and none leads elsewhere" do
      names = [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "/etc",
        "a",
        "A",
        "a/b",
        "a%2fb",
        "a\0b",
        "a\\b",
        "~",
        "CON",
        "ä",
        "a\u0308",
        <<255, 0>>,
        String.duplicate("x", 300),
        String.duplicate("x", 301),
        String.duplicate("/", 100),
        String.duplicate("x", 80) <> "%~"
      ]

      directories = Enum.map(names, &Directory.name/1)
      assert Enum.uniq_by(directories, &String.downcase/1) == directories

      for directory <- directories do
        assert directory =~ ~r/\A[a-z0-9_%~-]{1,255}\z/
        assert Path.expand(directory, "/base") == "/base/" <> directory
      end
    end

    @tag :tmp_dir
    test "a tenant's directory goes with it, and no other", %{tmp_dir: base} do
      configure(base_dir: base)
      {:ok, _router} = Registry.router("a/../b", "todos", @columns)
      mine = Registry.usage("a/../b").directory
      other = Path.join(base, Directory.name("b"))
      outside = Path.join(base, "outside")
      for directory <- [mine, other, outside], do: File.mkdir_p!(Path.join(directory, "inside"))
      File.ln_s!(outside, Path.join(mine, "link"))
      assert Registry.drop("a/../b") == :ok
      refute File.exists?(mine)
      assert File.exists?(Path.join(other, "inside"))
      assert File.exists?(Path.join(outside, "inside"))
    end

    @tag :tmp_dir
    test "what a tenant had is back after its process ended, and gone after it was dropped", %{
      tmp_dir: base
    } do
      configure(base_dir: base, limits: [max_shapes: 3])
      names = ["../todos", "todos/", "To Dos"]

      for table <- names do
        {:ok, router} = Registry.router("a", table, @columns)
        :ok = ShapeRouter.add_shape(router, 1, "n = 5")
      end

      {:ok, other} = Registry.router("b", "todos", @columns)
      :ok = ShapeRouter.add_shape(other, 1, "n = 5")
      pid = Registry.Table.pid("a")
      monitor = Process.monitor(pid)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, _, :killed}
      eventually(fn -> Registry.tenants() == ["b"] end)

      # The limit counts what was found.
      for table <- names do
        {:ok, router} = Registry.router("a", table, @columns)
        assert ShapeRouter.route(router, change(5)) == [1]
      end

      {:ok, router} = Registry.router("a", hd(names), @columns)
      assert {:error, %Error{code: :limit_reached}} = ShapeRouter.add_shape(router, 2, nil)
      assert Registry.usage("a").shapes == 3

      directory = Registry.usage("a").directory
      assert length(File.ls!(directory)) == 3
      assert Registry.drop("a") == :ok
      refute File.exists?(directory)
      {:ok, router} = Registry.router("a", hd(names), @columns)
      assert ShapeRouter.shapes(router) == []
      assert ShapeRouter.route(other, change(5)) == [1]
    end

    @tag :tmp_dir
    test "directories are given back when the registry stops", %{tmp_dir: base} do
      configure(base_dir: base)

      for number <- 1..20 do
        {:ok, router} = Registry.router("tenant #{number}", "todos", @columns)
        :ok = ShapeRouter.add_shape(router, number, "n = 5")
      end

      :ok = Supervisor.terminate_child(ShapeRouter.Supervisor, Registry)
      {:ok, _} = Supervisor.restart_child(ShapeRouter.Supervisor, Registry)
      assert Registry.tenants() == []

      for number <- 1..20 do
        {:ok, router} = Registry.router("tenant #{number}", "todos", @columns)
        assert ShapeRouter.route(router, change(5)) == [number]
      end
    end

    @tag :tmp_dir
    test "damage is its tenant's own", %{tmp_dir: base} do
      configure(base_dir: base)
      {:ok, router} = Registry.router("a", "todos", @columns)
      :ok = ShapeRouter.add_shape(router, 1, "n = 5")
      {:ok, other} = Registry.router("b", "todos", @columns)
      :ok = ShapeRouter.add_shape(other, 1, "n = 5")
      directory = Registry.usage("a").directory
      monitor = Process.monitor(Registry.Table.pid("a"))
      Process.exit(Registry.Table.pid("a"), :kill)
      assert_receive {:DOWN, ^monitor, :process, _, :killed}
      eventually(fn -> Registry.tenants() == ["b"] end)

      for file <- Path.wildcard(Path.join(directory, "**")), File.regular?(file) do
        File.write!(file, String.duplicate("damage", 100))
      end

      assert {:error, %Error{}} = Registry.router("a", "todos", @columns)
      assert {:ok, _} = Registry.router("a", "users", @columns)
      assert ShapeRouter.route(other, change(5)) == [1]
      assert ShapeRouter.add_shape(other, 2, "n = 5") == :ok
      assert Registry.drop("a") == :ok
      assert {:ok, _} = Registry.router("a", "todos", @columns)
    end
  end
end
