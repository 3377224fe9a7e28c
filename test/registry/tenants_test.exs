defmodule ShapeRouter.Registry.TenantsTest do
  @moduledoc "Tenants side by side: what one does or suffers, the others do not notice."
  use ExUnit.Case

  alias ShapeRouter.{Error, Registry}

  @columns [columns: [id: :int8, n: :int8]]
  @tenants for number <- 1..24, do: "tenant #{number}"

  setup do
    on_exit(fn ->
      Application.delete_env(:shape_router, Registry)
      for tenant <- Registry.tenants(), do: Registry.drop(tenant)
    end)
  end

  defp insert(n), do: %{op: :insert, new_record: %{"id" => "1", "n" => "#{n}"}}

  # 24 tenants of two tables route and add at once; half of them reach their limits, some are dropped or lose
  # their process meanwhile. Everybody else's answers stay exact.
  @tag timeout: 120_000
  test "24 tenants route at once, and limits and damage stay where they are" do
    limited = Enum.take_every(@tenants, 2)
    dropped = Enum.slice(@tenants, 4, 4)
    killed = Enum.slice(@tenants, 8, 4)

    Application.put_env(:shape_router, Registry,
      tenants: Map.new(limited, &{&1, [max_shapes: 150]})
    )

    tasks = for tenant <- @tenants, do: Task.async(fn -> {tenant, live(tenant)} end)
    Process.sleep(20)
    for tenant <- dropped, do: :ok = Registry.drop(tenant)
    for tenant <- killed, pid = Registry.Table.pid(tenant), do: Process.exit(pid, :kill)

    for {tenant, {refused, wrong, closed}} <- Task.await_many(tasks, 120_000) do
      assert wrong == 0, "#{tenant} got #{wrong} wrong answers"

      cond do
        tenant in dropped or tenant in killed -> :ok
        tenant in limited -> assert {refused, closed} == {50, 0}
        true -> assert {refused, closed} == {0, 0}
      end
    end

    for tenant <- @tenants -- (dropped ++ killed) do
      usage = Registry.usage(tenant)
      assert usage.shapes == if(tenant in limited, do: 150, else: 200)
    end
  end

  # 100 shapes for each of two tables; after each, both tables are asked. Gives how many shapes were refused, how
  # many answers were wrong, and how many calls met a router that was closed.
  defp live(tenant) do
    for number <- 1..100, table <- ["todos", "users"], reduce: {0, 0, 0} do
      {refused, wrong, closed} ->
        {:ok, router} = Registry.router(tenant, table, @columns)
        added = ShapeRouter.add_shape(router, number, "n = #{number}")
        answer = ShapeRouter.route(router, insert(number))
        nothing = ShapeRouter.route(router, insert(-number))

        case {added, answer, nothing} do
          {:ok, [^number], []} -> {refused, wrong, closed}
          {{:error, %Error{code: :limit_reached}}, [], []} -> {refused + 1, wrong, closed}
          {_, {:error, %Error{code: :closed}}, _} -> {refused, wrong, closed + 1}
          {_, _, {:error, %Error{code: :closed}}} -> {refused, wrong, closed + 1}
          {{:error, %Error{code: :closed}}, [], []} -> {refused, wrong, closed + 1}
          _ -> {refused, wrong + 1, closed}
        end
    end
  end

  # Ways in which a tenant's directory goes wrong while nobody has it open.
  @damages [
    garbled: &__MODULE__.garble/1,
    cut: &__MODULE__.cut/1,
    one_bit: &__MODULE__.flip/1,
    emptied: &__MODULE__.empty/1,
    a_file: &__MODULE__.replace/1
  ]

  def garble(directory),
    do: for(file <- files(directory), do: File.write!(file, :binary.copy("damage", 100)))

  def cut(directory) do
    for file <- files(directory), bytes = File.read!(file) do
      File.write!(file, binary_part(bytes, 0, div(byte_size(bytes), 2)))
    end
  end

  def flip(directory) do
    for file <- files(directory),
        <<head::binary-size(20), byte, tail::binary>> <- [File.read!(file)] do
      File.write!(file, [head, Bitwise.bxor(byte, 1), tail])
    end
  end

  def empty(directory), do: for(file <- files(directory), do: File.write!(file, ""))

  def replace(directory) do
    File.rm_rf!(directory)
    File.write!(directory, "not a directory")
  end

  defp files(directory),
    do: for(file <- Path.wildcard(directory <> "/**"), File.regular?(file), do: file)

  # Everybody routes and adds while those are asked for again and again.
  @tag :tmp_dir
  @tag timeout: 120_000
  test "24 tenants with directories, some of them damaged: the others' stay what they are", %{
    tmp_dir: base
  } do
    Application.put_env(:shape_router, Registry, base_dir: base)

    for tenant <- @tenants, table <- ["todos", "users"] do
      {:ok, router} = Registry.router(tenant, table, @columns)
      :ok = ShapeRouter.add_shapes(router, for(n <- 1..20, do: {n, "n = #{n}"}))
    end

    directories = Map.new(@tenants, &{&1, Registry.usage(&1).directory})
    assert directories |> Map.values() |> Enum.uniq() |> length() == 24
    :ok = Supervisor.terminate_child(ShapeRouter.Supervisor, Registry)
    damaged = @tenants |> Enum.take_every(4) |> Enum.zip(Stream.cycle(@damages))
    for {tenant, {_name, damage}} <- damaged, do: damage.(directories[tenant])
    whole = @tenants -- Enum.map(damaged, &elem(&1, 0))

    before =
      for tenant <- whole, file <- files(directories[tenant]), do: {file, File.stat!(file).inode}

    {:ok, _} = Supervisor.restart_child(ShapeRouter.Supervisor, Registry)

    tasks =
      for tenant <- whole, table <- ["todos", "users"] do
        Task.async(fn ->
          {:ok, router} = Registry.router(tenant, table, @columns)

          for n <- 1..20 do
            assert ShapeRouter.route(router, insert(n)) == [n]
            assert ShapeRouter.add_shape(router, 100 + n, "n = #{-n}") == :ok
            assert ShapeRouter.route(router, insert(-n)) == [100 + n]
          end
        end)
      end

    for _ <- 1..5, {tenant, {name, _damage}} <- damaged, table <- ["todos", "users"] do
      case Registry.router(tenant, table, @columns) do
        {:error, %Error{code: code, message: message}} ->
          assert code in [:damaged, :unknown_version, :io_error], "#{name}: #{message}"
          # It says whose file it is.
          assert message =~ directories[tenant]

        {:ok, router} ->
          # Of what was cut off at its end, the whole beginning may stand.
          assert name == :cut
          assert ShapeRouter.shapes(router) -- Enum.to_list(1..20) == []
      end
    end

    Task.await_many(tasks, 120_000)
    for {file, inode} <- before, File.exists?(file), do: assert(File.stat!(file).inode == inode)

    # And so it is after another start; a damaged one begins anew when it was dropped.
    :ok = Supervisor.terminate_child(ShapeRouter.Supervisor, Registry)
    {:ok, _} = Supervisor.restart_child(ShapeRouter.Supervisor, Registry)

    for tenant <- whole, table <- ["todos", "users"] do
      {:ok, router} = Registry.router(tenant, table, @columns)
      assert ShapeRouter.shapes(router) == Enum.to_list(1..20) ++ Enum.to_list(101..120)
    end

    for {tenant, _} <- damaged do
      assert Registry.drop(tenant) == :ok
      {:ok, router} = Registry.router(tenant, "todos", @columns)
      assert ShapeRouter.shapes(router) == []
    end
  end

  @tag timeout: 120_000
  test "a thousand tenants in one VM" do
    before = resident()

    {us, routers} =
      :timer.tc(fn ->
        for number <- 1..1_000 do
          {:ok, router} = Registry.router("tenant #{number}", "todos", @columns)
          :ok = ShapeRouter.add_shape(router, number, "n = #{number}")
          router
        end
      end)

    bytes = div(resident() - before, 1_000)

    IO.puts(
      "\n1,000 tenants: #{div(us, 1_000)} ms, #{bytes} resident bytes a tenant with one shape"
    )

    for {router, number} <- Enum.with_index(routers, 1) do
      assert ShapeRouter.route(router, insert(number)) == [number]
      assert ShapeRouter.route(router, insert(number + 1)) == []
    end

    assert length(Registry.tenants()) == 1_000

    # Far more than it should be, to fail only where something is wrong by its kind. How long it took says
    # more about who else is at work on the machine.
    assert bytes < 200_000
  end

  defp resident do
    case File.read("/proc/self/statm") do
      {:ok, text} -> text |> String.split() |> Enum.at(1) |> String.to_integer() |> Kernel.*(4096)
      _ -> :erlang.memory(:total)
    end
  end
end
