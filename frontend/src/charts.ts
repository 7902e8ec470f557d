// Small charts of what a workspace uses.
import "uplot/dist/uPlot.min.css";
export {};
