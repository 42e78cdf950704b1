// Begins a page that plays one recipe of the painter.

async function makeRenderer(canvas) {
    const bytes = await inflated(await embedded("tables"));
    return new PainterRenderer(new Graphics(canvas), about, bytes, await readPrograms());
}
start();
