const shown = document.documentElement.dataset;

async function look() {
  try {
    const answer = await fetch("state", { cache: "no-store" });
    const state = (await answer.text()).trim();
    if (shown.state && shown.state !== state) {
      sessionStorage.setItem("scroll", String(window.scrollY));
      location.reload();
    }
    shown.state = state;
  } catch {
    // The server has ended: the page stays as it is.
  }
}

const scroll = sessionStorage.getItem("scroll");
if (scroll) window.addEventListener("load", () => setTimeout(() => window.scrollTo(0, Number(scroll)), 400));
look();
setInterval(look, 2000);
